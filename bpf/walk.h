/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What becomes of a segment of a connection whose TLS records or HTTP/2 frames are followed (record.h). */
#ifndef HEADWATER_WALK_H
#define HEADWATER_WALK_H

#include "hello.h"
#include "record.h"
#include "seek.h"

/* The farthest that is copied whole while framing before it is still to come: a few segments as long as they can be. */
#define PASSED_MAX (128 << 10)

#define WALK_LOST 0	/* they are not, or not any more: the window decides */
#define WALK_WHOLE 1	/* all of it is copied */
#define WALK_PART 2	/* parts of it: framing lies in it */
#define WALK_NOTHING 3	/* nothing of it is wanted */

/*
 * Is the segment one short TLS record, as most are? Then it is passed over here: a look at eight bytes instead of three
 * functions that find the state again. Returns WALK_*; WALK_LOST: it is not.
 */
static __always_inline int take_one_record(struct __sk_buff *skb, struct socket_state *s, struct direction *d, __u32 dir,
					   __u32 seq, __u32 offset, __u32 length)
{
	const __u32 fragment = length - TLS_HEADER_BYTES;
	__u8 b[8] __attribute__((aligned(8)));

	if (d->frame != FRAME_TLS || d->frame_seq != seq || d->frame_have || d->frame_keep || length < 8 ||
	    fragment > TLS_WHOLE_BYTES - beyond_bodies(d->plan.level) * (TLS_WHOLE_BYTES - TLS_HEAD_BYTES))
		return WALK_LOST;
	if (bpf_skb_load_bytes(skb, offset, b, 8))
		return WALK_LOST;
	if (b[0] != TLS_APPLICATION || b[1] != 3 || b[2] > 4 || (__u32)(b[3] << 8 | b[4]) != fragment)
		return WALK_LOST;
	take_turn(s, d, dir, fragment, 0);
	shed_connection(s, d->plan.level);
	d->frame_seq = seq + length;
	d->frame_shed = 0;
	if (s->shed_call) {
		d->untold++;
		d->plan.gone = 1;
		d->marks |= HW_MARK_SHED_HEAD;
		return WALK_NOTHING;
	}
	d->plan.units = 1;
	return WALK_WHOLE;
}

/* Is the segment copied whole because framing before it is still to come, and the place is worth keeping? */
static __always_inline int overtakes(const struct direction *d)
{
	return d->plan.fresh && d->passed && d->passed <= PASSED_MAX && d->plan.level == PRESSURE_NONE && !d->untold;
}

/*
 * What was overtaken is there: following goes on behind what had overtaken it, provided that the record, frame or chunk in
 * progress reaches so far. A header in those bytes was not read, they are gone; user space has them.
 */
static __always_inline void catch_up(struct direction *d)
{
	const __u32 at = d->frame_seq - d->passed_seq;
	__u32 left, kept;

	if (!d->frame || (__s32)at < 0)
		return;
	left = at < d->passed ? d->passed - at : 0;
	d->passed = 0;
	kept = at_most(d->frame_keep, left);
	left -= kept;
	d->frame_keep -= kept;
	d->frame_seq += kept;
	if (!d->frame_keep) {
		left -= at_most(d->frame_skip, left);
		d->frame_seq += d->frame_skip;
		d->frame_skip = 0;
	}
	if (left)
		lose_place(d);
}

/*
 * After a segment: where the next header stands is put right when segments had overtaken one another, or found again in this one. A
 * global function: hardly any segment comes here.
 */
__noinline int mend_place(struct __sk_buff *skb, __u32 dir)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;
	__u32 behind;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	if (d->passed)
		catch_up(d);
	if (!d->plan.astray)
		return 0;
	d->plan.astray = 0;
	behind = seek_records(skb, d->plan.offset, d->plan.length);
	if (!behind)
		return 0;
	/* What the segment's last record has in the next one goes with it. */
	follow_frames(d, FRAME_TLS, d->plan.seq + d->plan.length);
	d->frame_keep = behind - d->plan.length;
	return 0;
}

/*
 * What becomes of a segment where nobody knows where the next header stands. TLS and HTTP/2 are wanted whole, and who reads
 * them finds records and frames by itself: of HTTP/2 one header block that is missing costs all that follow.
 */
static __always_inline int without_place(const struct socket_state *s, const struct direction *d)
{
	const int units = s->followed && (s->guess == HW_GUESS_TLS || s->guess == HW_GUESS_H2) && !d->foreign;

	return units && d->plan.level == PRESSURE_NONE ? WALK_WHOLE : WALK_LOST;
}

/* Begins, goes on or ends following, for payload [offset, offset + length) that begins at `seq`. */
static __always_inline int walk_on(struct __sk_buff *skb, struct socket_state *s, struct direction *d, __u32 dir,
				   __u32 seq, __u32 offset, __u32 length)
{
	__u32 at;
	__u32 frame_seq, keep, skip, streamed, shed, calls, untold;
	__u64 first;
	__u8 frame, have, last, marks, turn, hushed;

	if (d->frame < FRAME_TLS) {
		/* Writers begin with a whole header; whether it is one is seen when it is read. */
		if (!((d->plan.burst && d->plan.in_order) || d->plan.late) || !s->followed) {
			/* Looked for where nothing is missing before. */
			d->plan.astray = s->guess == HW_GUESS_TLS && s->followed && !d->foreign && d->plan.in_order && !d->holes;
			return without_place(s, d);
		}
		follow_frames(d, s->guess == HW_GUESS_TLS ? FRAME_TLS : FRAME_H2, seq);
	}
	at = d->frame_seq - seq;
	if ((__s32)at < 0) {
		/* A header lies in a hole, which may be filled. */
		if (overtakes(d))
			return WALK_WHOLE;
		if (d->plan.in_order)
			lose_place(d);
		return without_place(s, d);
	}
	/* The record in progress may have been passed over while this part of it was still to come. */
	if (at >= length)
		return d->plan.fills && d->plan.level == PRESSURE_NONE ? WALK_WHOLE : WALK_NOTHING;
	if (at || length > UNIT_BYTES || d->plan.level != PRESSURE_NONE)
		return WALK_PART;
	frame_seq = d->frame_seq;
	keep = d->frame_keep;
	skip = d->frame_skip;
	streamed = d->streamed;
	shed = d->plan.extra_shed;
	frame = d->frame;
	have = d->frame_have;
	marks = d->marks;
	calls = s->calls;
	turn = s->turn;
	untold = d->untold;
	hushed = d->frame_hushed;
	first = *(__u64 *)d->first;
	last = d->first[8];
	if (pass_over(pass_records, skb, dir, seq, offset, length) == PASSED_ALL && d->frame)
		return WALK_WHOLE;
	d->frame_seq = frame_seq;
	d->frame_keep = keep;
	d->frame_skip = skip;
	d->streamed = streamed;
	d->plan.extra_shed = shed;
	d->frame = frame;
	d->frame_have = have;
	d->marks = marks;
	s->calls = calls;
	s->turn = turn;
	d->untold = untold;
	d->frame_hushed = hushed;
	d->plan.turn = d->plan.hushed = 0;
	d->plan.units = 0;
	*(__u64 *)d->first = first;
	d->first[8] = last;
	return WALK_PART;
}

/* The same; the plan says what becomes of the segment. A global function: verified once. */
__noinline int walk(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 offset, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	d->plan.offset = offset;
	d->plan.length = length;
	d->plan.seq = seq;
	/* Only the first record of a direction is looked at. */
	if (s->guess == HW_GUESS_TLS && d->plan.look == LOOK_TLS) {
		int hello = read_hello(skb, offset - d->plan.gathered);

		if (hello != HELLO_NOT)
			s->offers_h2 = hello == HELLO_WITH_H2;
		/* A server's first record, and no client's: the listener had its ClientHello (deferred accept), or a PROXY header came before it. */
		else if (direction_of(s, !dir)->frame != FRAME_TLS)
			s->offers_h2 = 1;
	}
	d->plan.walked = walk_on(skb, s, d, dir, seq, offset, length);
	return 0;
}

#endif
