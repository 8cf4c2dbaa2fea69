/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Header blocks in a segment that is more than a message's head: where they end, and those that begin right behind one. */
#ifndef HEADWATER_HEADS_H
#define HEADWATER_HEADS_H

#include "chunk.h"
#include "count.h"
#include "length.h"
#include "load.h"
#include "look.h"
#include "scan.h"

/* Scans of one segment: enough for 64 KiB, or for as many pipelined header blocks. */
#define SCANS_MAX 64

/* What find_heads says, in one number. */
#define HEADS_PLACE(r) ((__u32)(r) & 0xfffff)
#define HEADS_END(r) HEADS_PLACE(r)			/* where the last header block found ends; 0: none does */
#define HEADS_LAST(r) HEADS_PLACE((r) >> 20)		/* where the last one begins, whether it ends or not; 0: with the first byte, or before */
#define HEADS_REQUESTS(r) ((r) >> 40 & 255)		/* message starts behind the first header block (pipelining) */
#define HEADS_RESPONSES(r) ((r) >> 48 & 255)
#define HEADS_STARTS(r) ((r) >> 40 & 0xffff)		/* not 0: there are some */
#define HEADS_TAIL(r) ((r) >> 56 & 3)			/* TAIL_* at the segment's end, while a header block is open there */
#define HEADS_OPEN(r) ((r) >> 58 & 1)

/* Scans payload [offset, offset + length) from inside a header block. A global function: verified once. */
__noinline __u64 find_heads(struct __sk_buff *skb, __u32 offset, __u32 length, __u32 tail)
{
	__u64 end = forgotten(0), starts = end, last = end, w;
	__u32 at = 0;

	for (int i = 0; i < SCANS_MAX; i++) {
		__u32 n;
		int found, look;

		w = forgotten((__u64)tail << 32 | at);
		at = w;
		tail = w >> 32;
		n = length - at;
		if (at >= length)
			break;
		if (n > SCAN_BYTES)
			n = SCAN_BYTES;
		found = scan_head(skb, offset + at, n, tail);
		if (found <= 0) {
			tail = -1 - found;
			at += n;
			continue;
		}
		at += found;
		end = at;
		tail = TAIL_NONE;
		if (at + 8 > length || bpf_skb_load_bytes(skb, offset + at, &w, 8))
			return end | last | starts;
		look = look_at_word(w);
		if (look != LOOK_REQUEST && look != LOOK_RESPONSE)
			return end | last | starts;
		starts += 1ULL << (24 + 8 * look);
		last = (__u64)at << 20;
	}
	return end | last | starts | (__u64)(tail & 3) << 56 | 1ULL << 58;
}

/* Scans a segment that is not all of a message for where its header blocks end. A global function: verified once. */
__noinline int scan_heads(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 offset, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct hw_counters *c = this_cpu(dir);
	struct direction *d;
	__u64 result;

	if (!s || !c)
		return 0;
	d = direction_of(s, dir);
	result = find_heads(skb, offset, length, d->tail);
	d->plan.head_end = HEADS_END(result);
	d->tail = HEADS_TAIL(result);
	d->head = HEADS_OPEN(result) ? HEAD_OPEN : HEAD_ENDED;
	if (HEADS_STARTS(result)) {
		d->starts = 2;
		s->pipelined |= HEADS_REQUESTS(result) != 0;
		add(c->requests_seen, HEADS_REQUESTS(result));
		add(c->responses_seen, HEADS_RESPONSES(result));
	}
	/* A header block that was begun before goes on. */
	if (!d->plan.begins && !HEADS_STARTS(result) && (d->frame == HEAD_AMID || d->frame == HEAD_LINE) && d->frame_seq == seq)
		return 0;
	d->frame = FRAME_NONE;
	if (d->head == HEAD_ENDED)
		expect_chunks(d, seq + d->plan.head_end);
	if (d->plan.begins || HEADS_STARTS(result))
		read_fields(d, seq + HEADS_LAST(result));
	return 0;
}

#endif
