/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which bytes leave the kernel. A burst is data in one direction until the other direction speaks; of each burst the
 * header block and a window are copied, the rest is counted. Every segment and every byte ends in exactly one class.
 */
#include "count.h"
#include "emit.h"
#include "owner.h"
#include "parse.h"
#include "plan.h"

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_PSH 0x08
#define TCP_LISTEN_STATE 10
#define STREAM_SOCKET 1

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
				       __u64 start_and_n, __u32 length, __u64 ts, const __u32 room)
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
	describe_segment(h, s, dir_and_place & 1, ts);
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
__noinline int emit_piece(struct __sk_buff *skb, __u32 dir_and_place, __u64 start_and_n, __u32 length, __u64 ts)
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
			 ? build_piece(skb, s, dir_and_place, start_and_n, length, ts, PIECE_SMALL_BYTES)
			 : build_piece(skb, s, dir_and_place, start_and_n, length, ts, PIECE_BYTES);
	if (result)
		add(c->records_lost, 1);
	return result;
}

/*
 * Hands over what takes several records: bytes [0, have) when they are too many for one, and after them the framing of a
 * chunked body, each piece of it in a record whose range reaches up to the next one. The plan says afterwards how many of
 * `have` found room (handed), how many bytes were copied beyond (extra), and up to where the payload is told (told_to).
 */
__noinline int hand_over(struct __sk_buff *skb, __u32 dir, __u32 have, __u64 ts)
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
		if (emit_piece(skb, dir | (i ? 0 : PIECE_FIRST), (__u64)p->start << 32 | PIECE_BYTES, PIECE_BYTES, ts))
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
			       (__u64)p->start << 32 | p->pending, at - p->start, ts))
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

/* A segment on a socket that has no state of its own: a listener's (deferred accept, fast open). */
static __noinline int unowned(struct __sk_buff *skb, struct hw_counters *c, struct hw_segment *h, struct packet *p)
{
	__u32 n = p->length;
	struct ends seen;
	__u64 w = 0;
	int look;

	if (!n)
		return 1;
	if (n >= 8 && bpf_skb_load_bytes(skb, p->payload, &w, 8))
		w = 0;
	look = look_quickly(w);
	h->guess = look == LOOK_TLS ? HW_GUESS_TLS : look == LOOK_NOTHING ? HW_GUESS_UNKNOWN : HW_GUESS_H1;
	if (look == LOOK_REQUEST)
		add(c->requests_seen, 1);
	h->cookie = 0;
	h->marks = HW_MARK_LISTENER;
	h->length = n;
	if (n > PIECE_BYTES)
		n = PIECE_BYTES;
	if (emit(skb, h, p->payload, n, &seen)) {
		add(c->records_lost, 1);
		if (look == LOOK_REQUEST)
			add(c->requests_lost, 1);
		count_class(c, HW_CLASS_RING_FULL, 1, n);
	} else {
		count_class(c, HW_CLASS_COPIED, 1, n);
	}
	count_class(c, HW_CLASS_WINDOW, 0, p->length - n);
	return 1;
}

/* FIN and RST without payload: a header-only record, also where the bytes do not interest. */
static __always_inline void tell_end(struct __sk_buff *skb, struct hw_counters *c, struct direction *d,
				     struct hw_segment *h)
{
	d->plan.advances = 1;
	carry(d, h);
	h->length = 0;
	if (emit(skb, h, 0, 0, &d->plan.ends_seen))
		add(c->records_lost, 1);
	else
		told(d, h);
}

/* A segment that cannot be followed: its bytes go to one class. */
static __always_inline int give_up(struct hw_counters *c, __u32 class, __u32 length)
{
	if (length)
		count_class(c, class, 1, length);
	return 1;
}

/* Does a segment of which nothing is copied deserve a record? For exact end times, and so that gaps stay explained. */
static __always_inline int worth_telling(const struct socket_state *s, const struct direction *d, __u32 length,
					 __u8 flags)
{
	if (flags & (TCP_FLAG_FIN | TCP_FLAG_RST))
		return 1;
	if (s->guess != HW_GUESS_H1 || d->plan.silent)
		return 0;
	return flags & TCP_FLAG_PSH || d->unreported + length >= config.report_every ||
	       d->plan.shed == HW_CLASS_SHED_HEAD;
}

/*
 * Counts a segment: every byte in one class, and what user space was not told in the sums that the next record carries.
 * All numbers are read from the plan once: should another CPU have overwritten it, each byte is still counted once.
 */
static __always_inline void settle(struct hw_counters *c, struct direction *d, __u32 length, __u32 want, __u32 have)
{
	const __u32 handed = d->plan.handed < have ? d->plan.handed : have, lost = have - handed;
	const __u32 beyond = d->plan.extra, extra = beyond < length - want ? beyond : length - want;
	const __u32 told_to = d->plan.told_to, untold = told_to < length ? length - told_to : 0;
	const __u8 rest = d->plan.rest, shed_as = d->plan.shed;
	/* Old bytes are not missed again. */
	const __u32 gone = untold < d->plan.fresh ? untold : d->plan.fresh, missed = lost < gone ? lost : gone;

	if (missed) {
		add(d->lost_bytes, missed);
		add(d->lost_segments, 1);
	}
	if (gone > missed) {
		add(d->left_out, gone - missed);
		d->unreported += gone - missed;
	}
	if (lost || shed_as == HW_CLASS_SHED_HEAD) {
		if (d->plan.look == LOOK_REQUEST)
			add(c->requests_lost, 1);
		else if (d->plan.look == LOOK_RESPONSE)
			add(c->responses_lost, 1);
	}
	count_class(c, handed || extra ? HW_CLASS_COPIED : lost ? HW_CLASS_RING_FULL : want ? shed_as : rest, 1, 0);
	count_class(c, HW_CLASS_COPIED, 0, handed + extra);
	count_class(c, HW_CLASS_RING_FULL, 0, lost);
	count_class(c, shed_as, 0, want - have);
	count_class(c, rest, 0, length - want - extra);
}

/* The whole segment in one record that carries its first `n` bytes. */
static __always_inline void copy(struct __sk_buff *skb, struct hw_counters *c, struct direction *d,
				 struct hw_segment *h, const struct packet *p, __u32 n)
{
	carry(d, h);
	if (emit(skb, h, p->payload, n, &d->plan.ends_seen)) {
		add(c->records_lost, 1);
		return;
	}
	told(d, h);
	d->plan.handed = n;
	d->plan.told_to = p->length;
	d->plan.copied = 1;
}

static __always_inline int packet(struct __sk_buff *skb, const __u8 dir)
{
	struct hw_segment h;
	struct packet p = {};
	struct hw_counters *c;
	struct socket_state *s;
	struct bpf_sock *sk;
	struct direction *d;
	__u32 seq, level, want, have;
	__u64 ts;
	int parsed = parse(skb, dir, &h, &p);

	if (parsed == PARSED_NOT_TCP)
		return 1;
	if (parsed == PARSED_TCP && !p.length && !(h.tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST)))
		return 1;
	c = this_cpu();
	if (!c)
		return 1;
	if (parsed == PARSED_FRAGMENT)
		p.length = skb->len > p.payload ? skb->len - p.payload : 0;
	if (p.length) {
		add(c->seen_segments, 1);
		add(c->seen_bytes, p.length);
	}
	if (parsed == PARSED_FRAGMENT)
		return give_up(c, HW_CLASS_FRAGMENT, p.length);
	sk = skb->sk;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (!sk)
		return give_up(c, HW_CLASS_NO_SOCKET, p.length);
	ts = bpf_ktime_get_ns();
	if (sk->state == TCP_LISTEN_STATE || sk->type != STREAM_SOCKET) {
		describe_segment(&h, NULL, dir, ts);
		return unowned(skb, c, &h, &p);
	}
	s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s)
		return give_up(c, HW_CLASS_NO_SOCKET, p.length);
	if (!s->cookie)
		s->cookie = bpf_get_socket_cookie(skb);
	d = &s->direction[dir];
	describe_segment(&h, s, dir, ts);
	if (!p.length) {
		tell_end(skb, c, d, &h);
		return 1;
	}

	seq = h.seq;
	if (h.tcp_flags & TCP_FLAG_SYN) {
		seq++;
		s->from_start = 1;
	}
	__builtin_memset(&d->plan, 0, sizeof(d->plan));
	follow(s, d, dir, seq, p.length);
	d->plan.head_before = d->head;
	level = pressure();
	if (!s->announced || (dir == HW_EGRESS && d->plan.burst && config.owner_by_writer))
		announce(skb, sk, s, &h, dir);
	h.length = p.length;
	/* What begins a burst of HTTP/1 and is short is copied whole whatever it is: copy first, then look at the copy. */
	if (s->guess == HW_GUESS_H1 && d->plan.burst && d->plan.in_order && level == PRESSURE_NONE && !s->shed_call &&
	    p.length >= 8 && p.length < SCAN_FROM_BYTES)
		copy(skb, c, d, &h, &p, p.length);
	if (d->plan.in_order) {
		look(skb, s, d, dir, p.payload, p.length);
		conclude(c, s, d, &s->direction[!dir], seq);
		if (d->head == HEAD_OPEN)
			find_head_end(skb, c, d, seq, p.payload, p.length);
	}
	if (d->plan.copied) {
		if (d->chunk && d->chunk_seq - seq < p.length)
			skip_chunks(skb, dir, seq, p.payload, p.length);
		add(c->segments[HW_CLASS_COPIED], 1);
		add(c->bytes[HW_CLASS_COPIED], p.length);
		return 1;
	}
	measure(s, d, seq, p.length);
	if (level != PRESSURE_NONE || s->shed_call)
		shed(skb, dir, level);

	want = d->plan.want < p.length ? d->plan.want : p.length;
	have = d->plan.have < want ? d->plan.have : want;
	h.guess = s->guess;
	if (have < want)
		d->marks |= d->plan.shed == HW_CLASS_SHED_HEAD ? HW_MARK_SHED_HEAD : HW_MARK_SHED_BODY;
	d->plan.sliced = d->chunk && d->plan.in_order && !d->plan.silent && d->chunk_seq - seq < p.length;
	if (have > PIECE_BYTES || d->plan.sliced) {
		d->plan.ends = (h.tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST | TCP_FLAG_PSH)) != 0;
		d->plan.seq = seq;
		d->plan.offset = p.payload;
		d->plan.length = p.length;
		hand_over(skb, dir, have, ts);
	} else if (have || worth_telling(s, d, p.length, h.tcp_flags)) {
		copy(skb, c, d, &h, &p, have);
	}
	settle(c, d, p.length, want, have);
	return 1;
}

SEC("cgroup_skb/ingress")
int headwater_in(struct __sk_buff *skb)
{
	return packet(skb, HW_INGRESS);
}

SEC("cgroup_skb/egress")
int headwater_out(struct __sk_buff *skb)
{
	return packet(skb, HW_EGRESS);
}
