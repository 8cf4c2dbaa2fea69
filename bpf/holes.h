/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which bytes of a direction are still to come, out of order: what is sent again must not be taken for what fills a hole. */
#ifndef HEADWATER_HOLES_H
#define HEADWATER_HOLES_H

#include "load.h"

/* Of this hole's bytes so many that the segment has. They are there now: of what is left the longer end stays a hole, the other is hidden. */
static __always_inline __u32 fill_one(struct direction *d, struct hole *hole, __u32 seq, __u32 length)
{
	const __s32 start = hole->from - seq;
	const __u32 size = hole->size, from = start > 0 ? start : 0;
	__s32 to = start + (__s32)size;
	__u32 before, behind;

	if (to > (__s32)length)
		to = length;
	if (to <= (__s32)from)
		return 0;
	before = from - start;
	behind = start + size - to;
	if (before >= behind) {
		hole->size = before;
		d->hidden += behind;
	} else {
		hole->from = seq + to;
		hole->size = behind;
		d->hidden += before;
	}
	return to - from;
}

/*
 * How many bytes of a segment that lies before next_seq were not seen before; they are no hole any more. Where holes are
 * more than are kept apart, any byte that is in none of these may be in one of the others.
 * A global function: the verifier walks it once, and hardly any segment comes here.
 */
__noinline int fill(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;
	__u32 filled = 0, rest;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	for (int i = 0; i < HOLES_KEPT; i++)
		filled += fill_one(d, &d->hole[i], seq, length);
	rest = filled < length ? length - filled : 0;
	if (rest > d->hidden)
		rest = d->hidden;
	d->hidden -= rest;
	filled += rest;
	d->holes = filled < d->holes ? d->holes - filled : 0;
	return filled;
}

/*
 * Did the segment overtake others, or was it overtaken? Then each of its bytes is told at once: what is acknowledged before the
 * sums tell of it would be a gap.
 */
static __always_inline int is_out_of_order(const struct direction *d)
{
	return d->plan.fills | (d->holes != 0);
}

/* The bytes from next_seq on, so many, were overtaken. A global function too. */
__noinline int open_hole(struct __sk_buff *skb, __u32 dir, __u32 size)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	if (!d->holes) {
		__builtin_memset(d->hole, 0, sizeof(d->hole));
		d->hidden = 0;
	}
	d->holes += size;
	for (int i = 0; i < HOLES_KEPT; i++)
		if (!d->hole[i].size) {
			d->hole[i].from = d->next_seq;
			d->hole[i].size = size;
			return 0;
		}
	d->hidden += size;
	return 0;
}

#endif
