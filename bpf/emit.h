/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Records into the ring. No scratch buffer: egress runs in process context and ingress interrupts it on the same CPU,
 * so a per-CPU buffer would be overwritten half-way. Instead each record is reserved in the ring itself, in the
 * smallest of a few sizes (the verifier wants constants), and the payload is loaded straight into it.
 */
#ifndef HEADWATER_EMIT_H
#define HEADWATER_EMIT_H

#include "load.h"
#include "maps.h"

/* Payload of one record; more is told in several. */
#define PIECE_BYTES 8192

static __always_inline __u64 wakeup(void)
{
	__u32 key = 0;
	struct hw_control *c = bpf_map_lookup_elem(&control, &key);

	return c && c->reader == HW_READER_SLEEPS ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

#define CACHE_LINE 64
/* As many as are on their way at once. */
#define TOUCHED_MAX 24

/*
 * Has the cache fetch what is about to be written: the reader's CPU had it last, and the first bytes of the copy are looked at
 * as soon as it is made. That look waited an eighth of the programs' time.
 */
static __always_inline void touch(struct hw_segment *record, __u32 room)
{
#pragma unroll
	for (__u32 i = 0; i < TOUCHED_MAX; i++) {
		if ((i + 1) * CACHE_LINE > room)
			break;
		*(volatile __u8 *)(record->payload + i * CACHE_LINE) = 0;
	}
}

#define RESERVE(room_) \
	({ *room = (room_); bpf_ringbuf_reserve(&ring, sizeof(struct hw_segment) + (room_), 0); })

/* A record with room for `n` bytes of payload and how much room it has; NULL when the ring has none. */
static __always_inline struct hw_segment *reserve_segment(__u32 n, __u32 *room)
{
	if (n <= 480) {
		if (n == 0)
			return RESERVE(0);
		if (n <= 96)
			return RESERVE(96);
		if (n <= 288)
			return RESERVE(288);
		return RESERVE(480);
	}
	if (n <= 1056) {
		if (n <= 736)
			return RESERVE(736);
		return RESERVE(1056);
	}
	if (n <= 1568)
		return RESERVE(1568);
	if (n <= 3104)
		return RESERVE(3104);
	if (n <= 5152)
		return RESERVE(5152);
	return RESERVE(PIECE_BYTES);
}

/* Field by field: a load that is wider than the store before it waits for the cache. */
static __always_inline void copy_header(struct hw_segment *to, const struct hw_segment *h)
{
	to->ts = h->ts;
	to->cookie = h->cookie;
	to->kind = h->kind;
	to->direction = h->direction;
	to->tcp_flags = h->tcp_flags;
	to->guess = h->guess;
	to->marks = h->marks;
	to->reserved = 0;
	to->records = h->records;
	to->local_port = h->local_port;
	to->remote_port = h->remote_port;
	to->length = h->length;
	to->seq = h->seq;
	to->ack = h->ack;
	to->lost_segments = h->lost_segments;
	to->turns = h->turns;
	to->left_out = h->left_out;
	to->lost_bytes = h->lost_bytes;
	((__u64 *)to->local)[0] = ((const __u64 *)h->local)[0];
	((__u64 *)to->local)[1] = ((const __u64 *)h->local)[1];
	((__u64 *)to->remote)[0] = ((const __u64 *)h->remote)[0];
	((__u64 *)to->remote)[1] = ((const __u64 *)h->remote)[1];
}

/* A record with `n` bytes of payload (whose ends are left in `seen` when it has 12 bytes or more), at most PIECE_BYTES; -1 when the ring has no room. */
static __noinline int emit(struct __sk_buff *skb, const struct hw_segment *h, __u32 offset, __u32 n, struct ends *seen)
{
	__u32 room;
	struct hw_segment *record = reserve_segment(n, &room);

	if (!record)
		return -1;
	touch(record, room);
	copy_header(record, h);
	record->captured = n;
	if (n) {
		__u64 from = n - 4;

		if (load_up_to(skb, offset, record->payload, n, room)) {
			bpf_ringbuf_discard(record, BPF_RB_NO_WAKEUP);
			return -1;
		}
		/* A look at the copy is cheaper than two more at the packet. */
		barrier_var(from);
		if (room >= 96 && from < room - 3) {
			seen->first = *(__u64 *)record->payload;
			seen->next = *(__u32 *)(record->payload + 8);
			seen->last = *(__u32 *)(record->payload + from);
		}
	}
	bpf_ringbuf_submit(record, wakeup());
	return 0;
}

#endif
