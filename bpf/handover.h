/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a decision to records: what a record says beside its bytes, and packets that take several records. */
#ifndef HEADWATER_HANDOVER_H
#define HEADWATER_HANDOVER_H

#include "count.h"
#include "emit.h"
#include "load.h"
#include "parse.h"
#include "record.h"

/*
 * Units of framing (chunk-size lines, TLS records, frames) read in one call, such calls in another, and those for one segment: as many
 * as 64 KiB hold, of chunks of one byte too. More in one segment (IPv6 can be told to send longer ones) are lost; the framing with them.
 */
#define SLICES 4
#define SLICE_CALLS 64
#define SLICE_ROUNDS 64
/* What a record takes of the ring beside its bytes. */
#define NEAR_BYTES (sizeof(struct hw_segment) + BPF_RINGBUF_HDR_SZ)
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
	h->reserved = 0;
	h->captured = 0;
	h->records = h->turns = 0;
	h->lost_segments = 0;
	h->left_out = h->lost_bytes = 0;
}

/*
 * Tells the record what was missed since the last one; `told` takes it off again once the record is in the ring. A
 * retransmission tells nothing of what lies before it (`advances` is 0): the sums wait for the stream to go on.
 * Multiplied and not branched on, because the verifier walks each branch through all that follows. With payload, `n`
 * bytes of it, it says how many TLS records lie before it: where they were followed it begins with the next one.
 */
static __always_inline void carry(const struct direction *d, struct hw_segment *h, __u32 n)
{
	const __u32 advances = d->plan.advances, untold = d->untold;

	h->records = untold * (untold < UNTOLD_UNKNOWN) * (n != 0) * advances;
	h->turns = (d->turns & 0xffff) * advances;
	h->left_out = d->left_out * d->plan.advances;
	h->lost_bytes = d->lost_bytes * d->plan.advances;
	h->lost_segments = (d->lost_segments & 0xffff) * advances;
	h->marks |= d->marks * d->plan.advances;
}

static __always_inline void told(struct direction *d, const struct hw_segment *h)
{
	if (h->left_out)
		add(d->left_out, -h->left_out);
	if (h->lost_bytes)
		add(d->lost_bytes, -h->lost_bytes);
	if (h->lost_segments)
		add(d->lost_segments, -(__u32)h->lost_segments);
	if (h->turns)
		add(d->turns, -(__u32)h->turns);
	if (h->captured)
		d->untold = 0;
	/* What it skips of the unit read last may be told by later ones. */
	d->marks = d->marks * !d->plan.advances | d->frame_shed * HW_MARK_SHED_BODY;
	d->unreported *= !d->plan.advances;
}

static __always_inline void keep_head(struct packet_head *to, const struct hw_segment *h)
{
	to->local[0] = ((const __u64 *)h->local)[0];
	to->local[1] = ((const __u64 *)h->local)[1];
	to->remote[0] = ((const __u64 *)h->remote)[0];
	to->remote[1] = ((const __u64 *)h->remote)[1];
	to->seq = h->seq;
	to->ack = h->ack;
	to->local_port = h->local_port;
	to->remote_port = h->remote_port;
	to->tcp_flags = h->tcp_flags;
}

static __always_inline void use_head(struct hw_segment *h, const struct packet_head *from)
{
	((__u64 *)h->local)[0] = from->local[0];
	((__u64 *)h->local)[1] = from->local[1];
	((__u64 *)h->remote)[0] = from->remote[0];
	((__u64 *)h->remote)[1] = from->remote[1];
	h->seq = from->seq;
	h->ack = from->ack;
	h->local_port = from->local_port;
	h->remote_port = from->remote_port;
	h->tcp_flags = from->tcp_flags;
}

#define PIECE_FIRST 2	/* beside the direction: this is the packet's first record */
#define PIECE_LAST 4	/* ... and its last */

/* Why a segment's end deserves a record of its own: plan.ends. */
#define ENDS_WRITE 1	/* the sender had no more to send just then */
#define ENDS_STREAM 2	/* or ever */

/* Few sizes: headers, beginnings, short records and frames, as long as can be. The verifier walks on for each. */
static __always_inline struct hw_segment *reserve_piece(__u32 n, __u32 *room)
{
	if (n <= 96)
		return RESERVE(96);
	if (n <= 608)
		return RESERVE(608);
	if (n <= 2336)
		return RESERVE(2336);
	return RESERVE(PIECE_BYTES);
}

/*
 * One of several records of a packet: tells `length` bytes of payload from `start` (high half) on, and carries the first
 * `n` (low half). Returns 0, or -1 when the ring has no room. A global function, so that the verifier walks it once; it
 * may take numbers alone, so what the packet's header says lies in the state (keep_head).
 */
__noinline int emit_piece(struct __sk_buff *skb, __u32 dir_and_place, __u64 start_and_n, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct hw_counters *c = this_cpu(dir_and_place);
	struct direction *d;
	struct hw_segment *h;
	__u32 start = start_and_n >> 32, n = start_and_n, room;

	if (!c || !s)
		return -1;
	d = direction_of(s, dir_and_place);
	h = reserve_piece(n, &room);
	if (!h)
		goto no_room;
	use_head(h, &d->in_pieces);
	describe_segment(h, s, dir_and_place & 1, d->plan.ts);
	/* What opens the stream belongs to the first record, what ends the segment to the last. */
	if (!(dir_and_place & PIECE_FIRST)) {
		h->seq += start + ((h->tcp_flags & TCP_FLAG_SYN) != 0);
		h->tcp_flags &= ~TCP_FLAG_SYN;
		h->marks = HW_MARK_PART;
	} else if (n && d->plan.burst) {
		h->marks = HW_MARK_TURN;
	}
	if (!(dir_and_place & PIECE_LAST))
		h->tcp_flags &= ~(TCP_FLAG_FIN | TCP_FLAG_RST | TCP_FLAG_PSH);
	h->marks |= HW_MARK_AGAIN * d->plan.again;
	h->length = length;
	h->captured = n;
	carry(d, h, n);
	if (n && load_up_to(skb, d->plan.offset + start, h->payload, n, room))
		goto discard;
	told(d, h);
	bpf_ringbuf_submit(h, wakeup());
	return 0;
discard:
	bpf_ringbuf_discard(h, BPF_RB_NO_WAKEUP);
no_room:
	add(c->records_lost, 1);
	return -1;
}

/*
 * Reads one unit of framing and tells what lies before it, once it is known how far that reaches: what touches is told in one
 * record. `more` is 0 when nothing further may be read. Returns 1 when the segment is told.
 */
static __always_inline int next_slice(struct __sk_buff *skb, struct direction *d, __u32 dir, __u32 have, int more)
{
	struct plan *p = &d->plan;
	__u32 at = d->frame_seq - p->seq, read = 0, end = p->start + p->pending;
	const __u32 units = p->units, near = p->pending && p->level == PRESSURE_NONE ? NEAR_BYTES : 0;
	__u8 hushed;

	p->hushed = 0;
	if (more && p->sliced && d->frame && at < p->length)
		read = read_framing(skb, d, dir, p->offset + at, p->length - at);
	hushed = p->hushed;
	if (read) {
		if (at + read <= end)
			return 0;
		/* Right behind what is to be copied anyway, or so near that a record of its own would be longer: one record for both. */
		if (at <= end + near && at + read - p->start <= PIECE_BYTES) {
			p->pending = at + read - p->start;
			return 0;
		}
		/* No room for both: a unit whose beginning waits already is told as one piece, and its bytes once. */
		if (at < end) {
			p->pending = at - p->start;
			end = at;
		}
	} else if (hushed) {
		/* The piece before ends where its bytes do; the left-out record is told with the piece behind it. */
		p->ends &= ENDS_STREAM;
		at = end;
	} else {
		at = p->length;
		if (!p->pending && !p->ends)
			return 1;
	}
	if (!p->failed && p->start > p->told_to) {
		add(d->left_out, p->start - p->told_to);
		d->unreported += p->start - p->told_to;
		p->told_to = p->start;
	}
	if (hushed && !p->pending) {
		/* Nothing waits. */
	} else if (p->failed || emit_piece(skb, dir | (p->start ? 0 : PIECE_FIRST) | (read || hushed ? 0 : PIECE_LAST),
					   (__u64)p->start << 32 | p->pending, at - p->start)) {
		/* Framing is read on, so that it is not lost for the segments to come. */
		p->failed = 1;
		not_told(d);
		if (end > have)
			p->extra_lost += end - (p->start > have ? p->start : have);
	} else {
		p->told_to = at;
		p->units -= units;
		if (end > have)
			p->extra += end - (p->start > have ? p->start : have);
		if (p->start < have)
			p->handed = end < have ? end : have;
	}
	if (hushed) {
		d->untold++;
		p->gone++;
		p->start = at_most(d->frame_seq - p->seq, p->length);
		p->pending = 0;
		return 0;
	}
	p->start = at;
	p->pending = read;
	return !read;
}

/* Some of them. A global function, so that the verifier does not multiply the two loops. */
__noinline int hand_over_some(struct __sk_buff *skb, __u32 dir, __u32 have)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;

	if (!s)
		return 1;
	d = direction_of(s, dir);
#pragma unroll 1
	for (int i = 0; i < SLICES; i++)
		if (next_slice(skb, d, dir & 1, have, 1))
			return 1;
	return 0;
}

/* Most of them. A global function for the same reason. */
__noinline int hand_over_many(struct __sk_buff *skb, __u32 dir, __u32 have)
{
#pragma unroll 1
	for (int i = 0; i < SLICE_CALLS; i++)
		if (hand_over_some(skb, dir, have))
			return 1;
	return 0;
}

/*
 * Hands over what takes several records: bytes [0, have) when they are too many for one, and after them what framing asks
 * for, each piece of it in a record whose range reaches up to the next one. The plan says afterwards how many of `have`
 * found room (handed), how many bytes were copied beyond (extra) or found no room there (extra_lost), and up to where the
 * payload is told (told_to).
 */
__noinline int hand_over(struct __sk_buff *skb, __u32 dir, __u32 have)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;
	struct plan *p;

	dir &= 1;
	if (!s)
		return 0;
	d = direction_of(s, dir);
	p = &d->plan;
	p->start = 0;
	for (int i = 0; i < PIECES_MAX && have - p->start > PIECE_BYTES; i++) {
		if (!p->failed && emit_piece(skb, dir | (i ? 0 : PIECE_FIRST), (__u64)p->start << 32 | PIECE_BYTES, PIECE_BYTES))
			p->failed = 1;
		p->start += PIECE_BYTES;
		if (!p->failed)
			p->told_to = p->handed = p->start;
	}
	/* From here on [start, start + pending) waits: its range reaches up to the next piece, or to the end. */
	p->pending = have - p->start < PIECE_BYTES ? have - p->start : PIECE_BYTES;
#pragma unroll 1
	for (int i = 0; i < SLICE_ROUNDS; i++)
		if (hand_over_many(skb, dir, have))
			return 0;
	next_slice(skb, d, dir, have, 0);
	lose_place(d);
	return 0;
}

#endif
