/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which bytes leave the kernel. A burst is data in one direction until the other direction speaks; of each burst the
 * header block and a window are copied, the rest is counted. Every segment and every byte ends in exactly one class.
 */
#include "count.h"
#include "datagram.h"
#include "early.h"
#include "handover.h"
#include "owner.h"
#include "parse.h"
#include "plan.h"
#include "turnstile.h"

#define TCP_LISTEN_STATE 10
#define STREAM_SOCKET 1

/*
 * A segment told without regard to any state: its first bytes are copied, the rest of it is left out. Returns how many
 * were; -1: the ring had no room.
 */
static __noinline int tell_as_it_is(struct __sk_buff *skb, struct hw_counters *c, struct hw_segment *h, struct packet *p)
{
	const __u32 n = at_most(p->length, PIECE_BYTES);
	struct ends seen;
	int copied = n;

	h->length = p->length;
	if (emit(skb, h, p->payload, n, &seen)) {
		add(c->records_lost, 1);
		copied = -1;
	}
	if (!p->length)
		return copied;
	count_class(c, copied < 0 ? HW_CLASS_RING_FULL : HW_CLASS_COPIED, 1, n);
	count_class(c, HW_CLASS_WINDOW, 0, p->length - n);
	return copied;
}

/* A segment on a socket that has no state of its own: a listener's (deferred accept, fast open). */
static __noinline int unowned(struct __sk_buff *skb, struct hw_counters *c, struct hw_segment *h, struct packet *p)
{
	__u64 w = 0;
	int look, copied;

	if (!p->length)
		return 1;
	if (p->length >= 8 && bpf_skb_load_bytes(skb, p->payload, &w, 8))
		w = 0;
	look = look_at_word(w);
	h->guess = look == LOOK_TLS ? HW_GUESS_TLS : look == LOOK_REQUEST ? HW_GUESS_H1 : HW_GUESS_UNKNOWN;
	h->guess = blurred(h->guess, w);
	h->cookie = 0;
	h->marks = HW_MARK_LISTENER;
	copied = tell_as_it_is(skb, c, h, p);
	note_early(c, h, look == LOOK_REQUEST, copied < 0);
	return 1;
}

/* A segment whose direction another CPU did not give free: it is told, and nothing is remembered of it but what is missing. */
static __noinline int beside(struct __sk_buff *skb, struct hw_counters *c, struct direction *d, struct hw_segment *h,
			     struct packet *p)
{
	const __u32 n = at_most(p->length, PIECE_BYTES);

	if (tell_as_it_is(skb, c, h, p) < 0 && n) {
		add(d->lost_bytes, n);
		add(d->lost_segments, 1);
		if (p->length > n)
			add(d->left_out, p->length - n);
	}
	return 1;
}

/* FIN and RST without payload: a header-only record, also where the bytes do not interest. */
static __always_inline void tell_end(struct __sk_buff *skb, struct hw_counters *c, struct direction *d,
				     struct hw_segment *h)
{
	d->plan.advances = 1;
	carry(d, h, 0);
	h->length = 0;
	if (emit(skb, h, 0, 0, &d->plan.ends_seen))
		add(c->records_lost, 1);
	else
		told(d, h);
}

/* The same; whoever ends a connection on which it has written nothing is its owner. */
static __always_inline void end(struct __sk_buff *skb, struct hw_counters *c, struct bpf_sock *sk, struct socket_state *s,
				struct direction *d, struct hw_segment *h, const __u8 dir)
{
	if (dir == HW_EGRESS && config.owner_by_writer && !s->owner)
		announce(skb, sk, s, h, dir);
	tell_end(skb, c, d, h);
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
	/* Of a call in TLS that is left out nothing is told: how many records it had is told later. */
	if (s->guess == HW_GUESS_TLS && s->shed_call && d->frame == FRAME_TLS)
		return 0;
	if ((s->guess != HW_GUESS_H1 && d->frame < FRAME_TLS) || d->plan.silent)
		return 0;
	return flags & TCP_FLAG_PSH || is_out_of_order(d) || d->unreported + length >= config.report_every ||
	       d->plan.shed == HW_CLASS_SHED_HEAD;
}

/*
 * Counts a segment: every byte in one class, and what user space was not told in the sums that the next record carries.
 * All numbers are read from the plan once: should another CPU have overwritten it, each byte is still counted once.
 * A global function, so that the verifier does not walk it once for each way here.
 */
__noinline int settle(struct __sk_buff *skb, __u32 dir, __u32 length, __u32 want, __u32 have)
{
	struct socket_state *s = state_of(skb);
	struct hw_counters *c = this_cpu(dir);
	struct direction *d;

	if (!s || !c || want > length || have > want)
		return 0;
	d = direction_of(s, dir);

	const __u32 handed = d->plan.handed < have ? d->plan.handed : have;
	/* Framing is copied of what pressure leaves out, too. */
	const __u32 over = length - have;
	const __u32 extra = at_most(d->plan.extra, over);
	const __u32 extra_lost = at_most(d->plan.extra_lost, over - extra);
	const __u32 extra_shed = at_most(d->plan.extra_shed, over - extra - extra_lost);
	const __u32 left = over - extra - extra_lost - extra_shed, shed = at_most(want - have, left);
	const __u32 lost = have - handed + extra_lost;
	const __u32 told_to = d->plan.told_to, untold = told_to < length ? length - told_to : 0;
	const __u8 turn = d->plan.turn, shed_as = d->plan.shed;
	const __u8 tls_shed = s->shed_call && s->guess == HW_GUESS_TLS && d->frame == FRAME_TLS;
	const __u8 rest = tls_shed ? HW_CLASS_SHED_HEAD : d->plan.rest;
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
	if (d->plan.units)
		not_told(d);
	if (d->plan.gone)
		add(c->tls_records_lost, d->plan.gone);
	if (turn && (tls_shed || told_to <= d->plan.turn_at)) {
		add(c->turns_lost[turn == TURN_ANSWER], 1);
		add(d->turns, 1);
	}
	if (lost || shed_as == HW_CLASS_SHED_HEAD) {
		if (d->plan.look == LOOK_REQUEST)
			add(c->requests_lost, 1);
		else if (d->plan.look == LOOK_RESPONSE)
			add(c->responses_lost, 1);
	}
	count_class(c, handed || extra ? HW_CLASS_COPIED : lost ? HW_CLASS_RING_FULL : want ? shed_as :
		    extra_shed ? HW_CLASS_SHED_BODY : rest, 1, 0);
	count_class(c, HW_CLASS_COPIED, 0, handed + extra);
	count_class(c, HW_CLASS_RING_FULL, 0, lost);
	count_class(c, shed_as, 0, shed);
	count_class(c, HW_CLASS_SHED_BODY, 0, extra_shed);
	count_class(c, rest, 0, left - shed);
	return 0;
}

static __always_inline void count_copied(struct hw_counters *c, const __u8 dir, __u32 length)
{
	add_in(dir, c->segments[HW_CLASS_COPIED], 1);
	add_in(dir, c->bytes[HW_CLASS_COPIED], length);
}

/* The whole segment in one record that carries its first `n` bytes. */
static __always_inline void copy(struct __sk_buff *skb, struct hw_counters *c, struct direction *d,
				 struct hw_segment *h, const struct packet *p, __u32 n)
{
	h->marks = HW_MARK_TURN * d->plan.burst * (n != 0) | HW_MARK_AGAIN * d->plan.again;
	carry(d, h, n);
	h->captured = n;
	if (emit(skb, h, p->payload, n, &d->plan.ends_seen)) {
		add(c->records_lost, 1);
		return;
	}
	told(d, h);
	d->plan.handed = n;
	d->plan.told_to = p->length;
	d->plan.copied = 1;
}

/* One segment of a connection whose state is this CPU's. */
static __always_inline void segment(struct __sk_buff *skb, struct hw_counters *c, struct bpf_sock *sk,
				    struct socket_state *s, struct direction *d, struct hw_segment *h, struct packet *p,
				    const __u8 dir)
{
	__u32 seq = h->seq, level, want, have;
	__u8 ends;

	if (h->tcp_flags & TCP_FLAG_SYN) {
		seq++;
		s->from_start = 1;
	}
	__builtin_memset(&d->plan, 0, sizeof(d->plan));
	follow(skb, s, d, dir, seq, p->length);
	/* After a stream's end nothing comes that could tell the sums: it does, also when it is sent again. */
	ends = (h->tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST)) != 0;
	d->plan.advances |= ends;
	d->plan.again &= ~ends;
	d->plan.head_before = d->head;
	level = pressure(c, dir);
	if (!s->announced || (dir == HW_EGRESS && d->plan.burst && writer_changed(s)))
		announce(skb, sk, s, h, dir);
	h->length = p->length;
	/* What begins a burst of HTTP/1 and is short is copied whole whatever it is: copy first, then look at the copy. */
	if (s->guess == HW_GUESS_H1 && d->plan.burst && d->plan.in_order && level == PRESSURE_NONE && !s->shed_call &&
	    p->length >= 8 && is_whole(p->length, h->tcp_flags))
		copy(skb, c, d, h, p, p->length);
	d->plan.level = level;
	d->plan.walked = take_one_record(skb, s, d, dir, seq, p->payload, p->length);
	if ((d->plan.in_order || d->plan.late) && d->frame < FRAME_TLS) {
		look(skb, s, d, dir, p->payload, p->length);
		conclude(skb, c, s, d, dir, seq, p->payload, p->length);
		d->trusted &= d->plan.burst | d->plan.begins;
		if (d->head == HEAD_OPEN)
			find_head_end(skb, d, dir, seq, p->payload, p->length, h->tcp_flags);
		/* What comes next does not follow these bytes. */
		if (d->plan.late)
			d->tail = TAIL_NONE;
	}
	if (d->plan.copied) {
		if (d->frame && d->frame_seq - seq < p->length)
			pass_over(pass_copied, skb, dir, seq, p->payload, p->length);
		count_copied(c, dir, p->length);
		return;
	}
	if (d->plan.walked == WALK_LOST && (s->guess == HW_GUESS_TLS || s->guess == HW_GUESS_H2))
		walk(skb, dir, seq, p->payload, p->length);
	else if (d->passed && d->frame && (__s32)(d->frame_seq - seq) < 0)
		d->plan.walked = overtakes(d) ? WALK_WHOLE : WALK_LOST;
	measure(s, d, seq, p->length);
	if (level != PRESSURE_NONE || s->shed_call)
		shed(skb, dir, level);

	want = d->plan.want < p->length ? d->plan.want : p->length;
	have = d->plan.have < want ? d->plan.have : want;
	h->guess = s->guess;
	if (have < want)
		d->marks |= d->plan.shed == HW_CLASS_SHED_HEAD ? HW_MARK_SHED_HEAD : HW_MARK_SHED_BODY;
	d->plan.sliced = d->plan.walked == WALK_PART || (d->plan.walked == WALK_LOST && d->frame && d->plan.fresh &&
							 !d->plan.silent && d->frame_seq - seq < p->length);
	if (have > PIECE_BYTES || d->plan.sliced) {
		d->plan.ends = (h->tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST) ? ENDS_STREAM : 0) |
			       (h->tcp_flags & TCP_FLAG_PSH || is_out_of_order(d) ? ENDS_WRITE : 0);
		d->plan.seq = seq;
		d->plan.offset = p->payload;
		d->plan.length = p->length;
		d->plan.ts = h->ts;
		keep_head(&d->in_pieces, h);
		hand_over(skb, dir, have);
	} else if (have || worth_telling(s, d, p->length, h->tcp_flags)) {
		copy(skb, c, d, h, p, have);
	}
	if (d->plan.copied && have == p->length)
		count_copied(c, dir, p->length);
	else
		settle(skb, dir, p->length, want, have);
}

/*
 * CLOCK_MONOTONIC. TCP stamps what it sends with that clock when it begins to send (tcp_wstamp_ns, net/ipv4/tcp_output.c; later
 * where it paces), about a microsecond before this program runs, and asking again would be a tenth of its time.
 */
static __always_inline __u64 time_of(struct __sk_buff *skb, const __u8 dir)
{
	__u64 stamped = dir == HW_EGRESS ? skb->tstamp : 0;

	return stamped ? stamped : bpf_ktime_get_ns();
}

/*
 * The verifier forgets in which of three ways the packet was parsed, or it would follow each of them to the end: before Linux 6.3 it
 * takes every scalar for precise.
 */
static __always_inline void blur(struct hw_segment *h, struct packet *p, __u64 noise)
{
	__u64 *local = (__u64 *)h->local, *remote = (__u64 *)h->remote;

	p->payload = blurred(p->payload, noise);
	p->length = blurred(p->length, noise);
	local[0] = blurred(local[0], noise);
	local[1] = blurred(local[1], noise);
	remote[0] = blurred(remote[0], noise);
	remote[1] = blurred(remote[1], noise);
}

/* The first packet of a connection whose opening was not seen. A global function: verified once. */
__noinline int meet(struct __sk_buff *skb, __u32 dir)
{
	struct socket_state *s = state_of(skb);
	struct hw_counters *c = this_cpu(dir);

	if (!s || !c)
		return 0;
	s->cookie = bpf_get_socket_cookie(skb);
	add(c->connections, 1);
	return 1;
}

static __always_inline int packet(struct __sk_buff *skb, const __u8 dir)
{
	struct hw_segment h;
	struct packet p = {};
	struct hw_counters *c;
	struct socket_state *s;
	struct bpf_sock *sk;
	struct direction *d;
	__u64 ts;
	int parsed;

	/* Of a fragment there are none. Linux 5.10 does not see that they are not looked at then. */
	h.tcp_flags = 0;
	parsed = parse(skb, dir, &h, &p);
	if (parsed == PARSED_NOT_TCP) {
		count_datagram(skb, dir);
		return 1;
	}
	if (parsed == PARSED_TCP && !p.length && !(h.tcp_flags & (TCP_FLAG_FIN | TCP_FLAG_RST)))
		return 1;
	c = this_cpu(dir);
	if (!c)
		return 1;
	if (parsed == PARSED_FRAGMENT)
		p.length = skb->len > p.payload ? skb->len - p.payload : 0;
	if (p.length) {
		add_in(dir, c->seen_segments, 1);
		add_in(dir, c->seen_bytes, p.length);
	}
	if (parsed == PARSED_FRAGMENT)
		return give_up(c, HW_CLASS_FRAGMENT, p.length);
	sk = skb->sk;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (!sk)
		return give_up(c, HW_CLASS_NO_SOCKET, p.length);
	ts = time_of(skb, dir);
	if (sk->state == TCP_LISTEN_STATE || sk->type != STREAM_SOCKET) {
		describe_segment(&h, NULL, dir, ts);
		return unowned(skb, c, &h, &p);
	}
	blur(&h, &p, ts);
	s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!s)
		return give_up(c, HW_CLASS_NO_SOCKET, p.length);
	if (!s->cookie)
		meet(skb, dir);
	d = &s->direction[dir];
	describe_segment(&h, s, dir, ts);
	if (dir == HW_INGRESS && !try_enter(d) && !enter_late(skb, dir))
		return beside(skb, c, d, &h, &p);
	if (p.length)
		segment(skb, c, sk, s, d, &h, &p, dir);
	else
		end(skb, c, sk, s, d, &h, dir);
	if (d->passed | d->plan.astray)
		mend_place(skb, dir);
	if (dir == HW_INGRESS)
		leave(d);
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
