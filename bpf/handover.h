/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a decision to records: what a record says beside its bytes, and packets that take several records. */
#ifndef HEADWATER_HANDOVER_H
#define HEADWATER_HANDOVER_H

#include "chunk.h"
#include "count.h"
#include "emit.h"
#include "parse.h"

/* Chunk-size lines of one segment, and the record that ends it. More in one segment are small chunks: copied as such, or lost. */
#define SLICES_MAX 16
/* Pieces of one segment, each a record. */
#define PIECES_MAX 12

static __always_inline void describe_segment(struct hw_segment *h, const struct socket_state *s, __u8 dir, __u64 ts)
{
	h->ts = ts;
	h->cookie = s ? s->cookie : 0;
	h->kind = HW_KIND_SEGMENT;
	h->direction = dir;
	h->guess = s ? s->guess : HW_GUESS_UNKNOWN;
	h->marks = 0;
	h->reserved[0] = h->reserved[1] = h->reserved[2] = 0;
	h->captured = 0;
	h->lost_segments = 0;
	h->left_out = h->lost_bytes = 0;
}

/*
 * Tells the record what was missed since the last one; `told` takes it off again once the record is in the ring. A
 * retransmission tells nothing of what lies before it (`advances` is 0): the sums wait for the stream to go on.
 * Multiplied and not branched on, because the verifier walks each branch through all that follows.
 */
static __always_inline void carry(const struct direction *d, struct hw_segment *h)
{
	h->left_out = d->left_out * d->plan.advances;
	h->lost_bytes = d->lost_bytes * d->plan.advances;
	h->lost_segments = d->lost_segments * d->plan.advances;
	h->marks |= d->marks * d->plan.advances;
}

static __always_inline void told(struct direction *d, const struct hw_segment *h)
{
	if (h->left_out)
		add(d->left_out, -h->left_out);
	if (h->lost_bytes)
		add(d->lost_bytes, -h->lost_bytes);
	if (h->lost_segments)
		add(d->lost_segments, -h->lost_segments);
	d->marks *= !d->plan.advances;
	d->unreported *= !d->plan.advances;
}

/* Pieces are short (chunk-size lines) or as long as can be. */
#define PIECE_SMALL_BYTES 96
#define PIECE_FIRST 2	/* beside the direction: this is the packet's first record */
#define PIECE_LAST 4	/* ... and its last */

/* A piece with room for `room` bytes, built in the ring itself: the stack has no room for another header. */
static __always_inline int build_piece(struct __sk_buff *skb, struct socket_state *s, __u32 dir_and_place,
				       __u64 start_and_n, __u32 length, const __u32 room)
{
	struct hw_segment *h = bpf_ringbuf_reserve(&ring, sizeof(*h) + room, 0);
	struct direction *d = &s->direction[dir_and_place & 1];
	__u32 start = start_and_n >> 32;
	__u64 less = (__u32)start_and_n - 1;
	struct packet p = {};

	if (!h)
		return -1;
	if (parse_slowly(skb, dir_and_place & 1, h, &p) != PARSED_TCP)
		goto discard;
	describe_segment(h, s, dir_and_place & 1, d->plan.ts);
	/* What opens the stream belongs to the first record, what ends the segment to the last. */
	if (!(dir_and_place & PIECE_FIRST)) {
		h->seq += start + ((h->tcp_flags & TCP_FLAG_SYN) != 0);
		h->tcp_flags &= ~TCP_FLAG_SYN;
		h->marks = HW_MARK_PART;
	}
	if (!(dir_and_place & PIECE_LAST))
		h->tcp_flags &= ~(TCP_FLAG_FIN | TCP_FLAG_RST | TCP_FLAG_PSH);
	h->length = length;
	h->captured = start_and_n;
	carry(d, h);
	if (h->captured) {
		barrier_var(less);
		if (less >= room || bpf_skb_load_bytes(skb, p.payload + start, h->payload, less + 1))
			goto discard;
	}
	told(d, h);
	bpf_ringbuf_submit(h, wakeup());
	return 0;
discard:
	bpf_ringbuf_discard(h, BPF_RB_NO_WAKEUP);
	return -1;
}

/*
 * One of several records of a packet: tells `length` bytes of payload from `start` (high half) on, and carries the first
 * `n` (low half). Returns 0, or -1 when the ring has no room. A global function, so that the verifier walks it once; it
 * may take numbers alone, so it parses the packet again: packets told in pieces are rare.
 */
__noinline int emit_piece(struct __sk_buff *skb, __u32 dir_and_place, __u64 start_and_n, __u32 length)
{
	struct bpf_sock *sk = skb->sk;
	struct hw_counters *c = this_cpu();
	struct socket_state *s;
	int result;

	if (!c || !sk)
		return -1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return -1;
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!s)
		return -1;
	result = (__u32)start_and_n <= PIECE_SMALL_BYTES
			 ? build_piece(skb, s, dir_and_place, start_and_n, length, PIECE_SMALL_BYTES)
			 : build_piece(skb, s, dir_and_place, start_and_n, length, PIECE_BYTES);
	if (result)
		add(c->records_lost, 1);
	return result;
}

/*
 * Hands over what takes several records: bytes [0, have) when they are too many for one, and after them the framing of a
 * chunked body, each piece of it in a record whose range reaches up to the next one. The plan says afterwards how many of
 * `have` found room (handed), how many bytes were copied beyond (extra), and up to where the payload is told (told_to).
 */
__noinline int hand_over(struct __sk_buff *skb, __u32 dir, __u32 have)
{
	struct bpf_sock *sk = skb->sk;
	struct socket_state *s;
	struct direction *d;
	struct plan *p;

	dir &= 1;
	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	if (!s)
		return 0;
	d = &s->direction[dir];
	p = &d->plan;
	p->start = 0;
	for (int i = 0; i < PIECES_MAX && have - p->start > PIECE_BYTES; i++) {
		if (emit_piece(skb, dir | (i ? 0 : PIECE_FIRST), (__u64)p->start << 32 | PIECE_BYTES, PIECE_BYTES))
			return 0;
		p->start += PIECE_BYTES;
		p->told_to = p->handed = p->start;
	}
	/* From here on [start, start + pending) waits: its range reaches up to the next piece, or to the end. */
	p->pending = have - p->start < PIECE_BYTES ? have - p->start : PIECE_BYTES;
	for (int i = 0; i <= SLICES_MAX; i++) {
		__u32 at = d->chunk_seq - p->seq, read = 0, end = p->start + p->pending;

		if (p->sliced && d->chunk && at < p->length && i < SLICES_MAX)
			read = read_chunk_framing(skb, dir, p->offset + at, p->length - at);
		if (read) {
			if (at + read <= end)
				continue;
			/* Right behind what is to be copied anyway: one record for both. */
			if (at <= end && at + read - p->start <= PIECE_BYTES) {
				p->pending = at + read - p->start;
				continue;
			}
		} else {
			at = p->length;
			if (!p->pending && !p->ends)
				break;
		}
		if (emit_piece(skb, dir | (p->start ? 0 : PIECE_FIRST) | (read ? 0 : PIECE_LAST),
			       (__u64)p->start << 32 | p->pending, at - p->start))
			break;
		p->told_to = at;
		if (end > have)
			p->extra += end - (p->start > have ? p->start : have);
		if (p->start < have)
			p->handed = end < have ? end : have;
		if (!read)
			break;
		p->start = at;
		p->pending = read;
	}
	return 0;
}

#endif
