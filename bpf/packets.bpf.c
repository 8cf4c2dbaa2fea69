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

/* Pieces of one segment, each a record. */
#define PIECES_MAX 12
/* Tells the record what was missed since the last one; `told` takes it off again once the record is in the ring. */
static __always_inline void carry(const struct direction *d, struct hw_segment *h)
{
	h->left_out = d->left_out;
	h->lost_bytes = d->lost_bytes;
	h->lost_segments = d->lost_segments;
	h->marks |= d->marks;
}

static __always_inline void told(struct direction *d, const struct hw_segment *h)
{
	if (h->left_out)
		add(d->left_out, -h->left_out);
	if (h->lost_bytes)
		add(d->lost_bytes, -h->lost_bytes);
	if (h->lost_segments)
		add(d->lost_segments, -h->lost_segments);
	d->marks = 0;
	d->unreported = 0;
}

/*
 * Hands bytes [0, have) of the payload over in pieces that together tell [0, length). Returns how many of `have` found
 * room; the ranges of the pieces that did not are not told.
 */
static __always_inline __u32 hand_over(struct __sk_buff *skb, struct hw_counters *c, struct direction *d,
				       struct hw_segment *h, const struct packet *p, __u32 have, __u32 *told_to)
{
	const __u8 flags = h->tcp_flags;
	const __u32 seq = h->seq + ((flags & TCP_FLAG_SYN) != 0);
	__u32 at = 0;

	*told_to = 0;
	for (int i = 0; i < PIECES_MAX; i++) {
		__u32 n = have - at;
		int last = 1;

		if (n > PIECE_BYTES) {
			n = PIECE_BYTES;
			last = i == PIECES_MAX - 1;
		}
		h->length = last ? p->length - at : n;
		/* What ends the segment belongs to its last piece, what opens the stream to its first. */
		h->tcp_flags = last ? flags : flags & ~(TCP_FLAG_FIN | TCP_FLAG_RST | TCP_FLAG_PSH);
		if (i > 0) {
			h->tcp_flags &= ~TCP_FLAG_SYN;
			h->seq = seq + at;
			h->marks |= HW_MARK_PART;
		}
		if (emit(skb, h, p->payload + at, n)) {
			add(c->records_lost, 1);
			break;
		}
		told(d, h);
		h->left_out = h->lost_bytes = 0;
		h->lost_segments = 0;
		at += n;
		*told_to = last ? p->length : at;
		if (last)
			break;
	}
	return at;
}

/* A segment on a socket that has no state of its own: a listener's (deferred accept, fast open). */
static __noinline int unowned(struct __sk_buff *skb, struct hw_counters *c, struct hw_segment *h, struct packet *p)
{
	__u32 n = p->length;
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
	if (emit(skb, h, p->payload, n)) {
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
	carry(d, h);
	h->length = 0;
	if (emit(skb, h, 0, 0))
		add(c->records_lost, 1);
	else
		told(d, h);
}

static __always_inline int packet(struct __sk_buff *skb, const __u8 dir)
{
	struct hw_segment h;
	struct packet p = {};
	struct hw_counters *c;
	struct socket_state *s;
	struct bpf_sock *sk;
	struct direction *d;
	int parsed = parse(skb, dir, &h, &p);

	if (parsed == PARSED_NOT_TCP)
		return 1;
	if (parsed == PARSED_TCP && !p.length && !(h.tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST)))
		return 1;
	c = this_cpu();
	if (!c)
		return 1;
	if (parsed == PARSED_FRAGMENT) {
		p.length = skb->len > p.payload ? skb->len - p.payload : 0;
		add(c->seen_segments, 1);
		add(c->seen_bytes, p.length);
		count_class(c, HW_CLASS_FRAGMENT, 1, p.length);
		return 1;
	}
	if (p.length) {
		add(c->seen_segments, 1);
		add(c->seen_bytes, p.length);
	}
	sk = skb->sk;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (!sk) {
		if (p.length)
			count_class(c, HW_CLASS_NO_SOCKET, 1, p.length);
		return 1;
	}
	h.ts = bpf_ktime_get_ns();
	h.kind = HW_KIND_SEGMENT;
	h.direction = dir;
	h.marks = 0;
	h.reserved[0] = h.reserved[1] = h.reserved[2] = 0;
	h.captured = 0;
	h.lost_segments = 0;
	h.left_out = h.lost_bytes = 0;
	if (sk->state == TCP_LISTEN_STATE || sk->type != STREAM_SOCKET)
		return unowned(skb, c, &h, &p);
	s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s) {
		if (p.length)
			count_class(c, HW_CLASS_NO_SOCKET, 1, p.length);
		return 1;
	}
	if (!s->cookie)
		s->cookie = bpf_get_socket_cookie(skb);
	h.cookie = s->cookie;
	d = &s->direction[dir];

	if (!p.length) {
		h.guess = s->guess;
		tell_end(skb, c, d, &h);
		return 1;
	}

	__u32 seq = h.seq;

	if (h.tcp_flags & TCP_FLAG_SYN) {
		seq++;
		s->from_start = 1;
	}
	__builtin_memset(&d->plan, 0, sizeof(d->plan));
	follow(s, d, dir, seq, p.length);
	d->plan.head_before = d->head;
	if (d->plan.in_order) {
		look(skb, s, d, dir, p.payload, p.length);
		conclude(c, s, d, &s->direction[!dir], seq);
		if (d->head == HEAD_OPEN)
			find_head_end(skb, c, d, p.payload, p.length);
	}
	if (!s->announced || (dir == HW_EGRESS && d->plan.burst && config.owner_by_writer))
		announce(skb, sk, s, &h, dir);
	measure(s, d, seq, p.length);

	__u32 level = pressure();

	shed(s, d, level);

	/* From here on by copies: should another CPU overwrite the plan, each byte is still counted once. */
	const __u32 want = d->plan.want < p.length ? d->plan.want : p.length;
	const __u32 have = d->plan.have < want ? d->plan.have : want;
	const __u8 rest = d->plan.rest, shed_as = d->plan.shed, what = d->plan.look;
	__u32 handed = 0, told_to = 0, untold = d->plan.fresh;

	h.guess = s->guess;
	if (have < want)
		d->marks |= shed_as == HW_CLASS_SHED_HEAD ? HW_MARK_SHED_HEAD : HW_MARK_SHED_BODY;
	if (have || h.tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST) ||
	    (s->guess == HW_GUESS_H1 && level != PRESSURE_ALL &&
	     (h.tcp_flags & TCP_FLAG_PSH || d->unreported + p.length >= config.report_every ||
	      shed_as == HW_CLASS_SHED_HEAD))) {
		carry(d, &h);
		handed = hand_over(skb, c, d, &h, &p, have, &told_to);
	}

	const __u32 lost = have - handed;

	/* Old bytes are not missed again. */
	if (untold > p.length - told_to)
		untold = p.length - told_to;
	if (untold) {
		const __u32 missed = lost < untold ? lost : untold;

		if (missed) {
			add(d->lost_bytes, missed);
			add(d->lost_segments, 1);
		}
		if (untold > missed) {
			add(d->left_out, untold - missed);
			d->unreported += untold - missed;
		}
	}
	if (lost || shed_as == HW_CLASS_SHED_HEAD) {
		if (what == LOOK_REQUEST)
			add(c->requests_lost, 1);
		else if (what == LOOK_RESPONSE)
			add(c->responses_lost, 1);
	}
	count_class(c, handed ? HW_CLASS_COPIED : lost ? HW_CLASS_RING_FULL : want ? shed_as : rest, 1, 0);
	count_class(c, HW_CLASS_COPIED, 0, handed);
	count_class(c, HW_CLASS_RING_FULL, 0, lost);
	count_class(c, shed_as, 0, want - have);
	count_class(c, rest, 0, p.length - want);
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
