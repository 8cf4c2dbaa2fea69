/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The decisions about one segment, in the order in which they are made: follow, look, conclude, find_head_end (or walk), measure, shed. */
#ifndef HEADWATER_PLAN_H
#define HEADWATER_PLAN_H

#include "count.h"
#include "heads.h"
#include "holes.h"
#include "length.h"
#include "load.h"
#include "look.h"
#include "parse.h"
#include "pressure.h"
#include "scan.h"
#include "switch.h"
#include "walk.h"

/* Sequence numbers further away than this from what was expected: start over. */
#define SEQUENCE_JUMP_MAX (1 << 30)
/* A burst's beginning is kept no farther behind than this, beyond any window: from 2 GiB on sequence numbers no longer tell how far it is. */
#define POSITION_MAX (1 << 30)
/*
 * A first segment of a message shorter than this is taken for whole: it is scanned only when it ends like a line. With
 * PSH, the end of a write, that holds up to just below what Go's servers write at once; without it more follows, and
 * anything as long as an Ethernet packet's payload (1,448) is scanned.
 */
#define WHOLE_BYTES 1280
#define WHOLE_WRITE_BYTES 4096
/* Under pressure: copied of a first segment whose header block's end is not known. */
#define PRESSED_FIRST_BYTES 4096
/* A burst with several message starts is pipelined; its responses lie close together, so its window is this much wider. */
#define PIPELINE_FACTOR 8

/* Notes what was seen while bytes before it are still to come: from the first such byte to the last. */
static __always_inline void note_overtaking(struct direction *d, __u32 seq, __u32 length, __s32 ahead)
{
	if (!d->holes)
		d->passed = 0;
	if (ahead <= 0 && !d->passed)
		return;
	if (!d->passed)
		d->passed_seq = seq;
	d->passed = seq + length - d->passed_seq;
}

/* Follows the sequence numbers; says what is new, and where a burst begins. */
static __always_inline void follow(struct __sk_buff *skb, struct socket_state *s, struct direction *d, __u8 dir, __u32 seq, __u32 length)
{
	__s32 ahead, beyond;

	if (!d->known) {
		d->known = 1;
		d->next_seq = d->burst_seq = seq;
	}
	ahead = seq - d->next_seq;
	if (ahead > SEQUENCE_JUMP_MAX || ahead < -SEQUENCE_JUMP_MAX) {
		d->next_seq = d->burst_seq = seq;
		d->holes = 0;
		d->head = HEAD_NONE;
		d->frame = FRAME_NONE;
		ahead = 0;
	}
	beyond = ahead + (__s32)length;
	d->plan.in_order = ahead <= 0 && beyond > 0;
	d->plan.advances = beyond > 0;
	if (beyond <= 0) {
		/* Seen before, or an earlier hole is filled. */
		d->plan.fresh = d->holes ? at_most(fill(skb, dir, seq, length), length) : 0;
		d->plan.fills = d->plan.fresh != 0;
		d->plan.again = !d->plan.fresh;
		d->plan.late = d->plan.fills && seq == d->burst_seq && !d->starts;
		return;
	}
	d->plan.fresh = ahead < 0 ? (__u32)beyond : length;
	if (s->last != dir + 1) {
		s->last = dir + 1;
		d->plan.burst = 1;
		d->burst_seq = d->next_seq;
		d->bursts++;
		d->starts = 0;
		d->switched = 0;
		d->streamed = 0;
		d->first_length = 0;
		/* A client that pipelines is interrupted anywhere. With a hole before it the header block may still be to come. */
		if (d->head != HEAD_OPEN) {
			d->tail = TAIL_NONE;
			d->head = ahead > 0 ? HEAD_OPEN : HEAD_NONE;
		}
	}
	note_overtaking(d, seq, length, ahead);
	if (ahead > 0) {
		open_hole(skb, dir, ahead);
		/* Nothing is known of the bytes before this segment: an empty line is looked for from here on. */
		d->tail = TAIL_NONE;
	}
	d->next_seq = seq + length;
}

/* Looks at the first bytes. Gathers them over segments while they are too few (requests may come byte by byte). */
static __always_inline void look(struct __sk_buff *skb, const struct socket_state *s, struct direction *d, __u8 dir,
				 __u32 offset, __u32 length)
{
	__u32 gathered = d->first_length, closer = d->plan.burst || d->plan.late || gathered;
	__u64 w;

	d->plan.gathered = gathered;
	if (!closer && s->guess != HW_GUESS_H1 && s->guess != HW_GUESS_UNKNOWN)
		return;
	if (!gathered && length >= 8) {
		__u8 first;

		if (d->plan.copied)
			w = d->plan.ends_seen.first;
		else if (bpf_skb_load_bytes(skb, offset, &w, 8))
			return;
		d->plan.look = look_quickly(w);
		first = w;
		/* Within a burst, text must not cost a close look at each segment. */
		if (d->plan.look != LOOK_MORE) {
			d->plan.begins = d->plan.look == LOOK_REQUEST || d->plan.look == LOOK_RESPONSE;
			return;
		}
		d->plan.look = LOOK_NOTHING;
		if (!closer || s->guess > HW_GUESS_H1) {
			if (first < 'A' || first > 'Z')
				return;
		}
	} else if (!closer) {
		return;
	}
	if (gathered > FIRST_BYTES)
		return;

	__u32 n = length < FIRST_BYTES - gathered ? length : FIRST_BYTES - gathered;

	if (load_up_to(skb, offset, d->first + gathered, n, FIRST_BYTES))
		return;
	d->plan.look = look_closely(skb, dir, gathered + n);
	d->first_length = d->plan.look == LOOK_MORE ? gathered + n : 0;
	d->plan.begins = !gathered && (d->plan.look == LOOK_REQUEST || d->plan.look == LOOK_RESPONSE);
}

/*
 * While a header block or a body of known length is followed: its bytes at `seq` begin nothing, whatever they look like. Those may that come
 * right behind the head of an answer (to HEAD), or of a request whose body the server refused (RFC 9110 10.1.1). A global function: verified once.
 */
__noinline int look_again(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;
	__u32 at;
	int starts, may_start;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	at = d->frame_seq - seq;
	if (d->frame != NEXT_MESSAGE) {
		/* A header block goes on. */
		if (!at)
			d->plan.look = d->plan.begins = d->first_length = 0;
		return 0;
	}
	starts = d->plan.look == LOOK_REQUEST || d->plan.look == LOOK_RESPONSE;
	if (!at) {
		/* Where a length led here messages do not lie close together; amid a burst they may be of any form. */
		if (starts) {
			d->starts = 0;
			d->trusted &= d->plan.burst;
		}
		return 0;
	}
	if (at > d->frame_size)
		return 0;
	may_start = starts || (d->plan.look == LOOK_MORE && length < 8);
	if (at == d->frame_size && (d->answers | d->plan.burst) && may_start) {
		d->frame = FRAME_NONE;
		return 0;
	}
	d->plan.look = d->plan.begins = d->first_length = 0;
	return 0;
}

/* Draws the conclusions for the connection and for the burst. */
static __always_inline void conclude(struct __sk_buff *skb, struct hw_counters *c, struct socket_state *s, struct direction *d,
				     const __u8 dir, __u32 seq, __u32 offset, __u32 length)
{
	const struct direction *other = &s->direction[!dir];
	const __u8 begins_burst = d->plan.burst | d->plan.late;

	if (d->frame >= NEXT_MESSAGE)
		look_again(skb, dir, seq, length);
	switch (d->plan.look) {
	case LOOK_REQUEST:
	case LOOK_RESPONSE:
		s->guess = HW_GUESS_H1;
		d->foreign = 0;
		d->answers = d->plan.look - LOOK_REQUEST;
		d->starts = d->starts ? 2 : 1;
		if (d->plan.begins) {
			d->burst_seq = seq;
			d->streamed = 0;
			d->tail = TAIL_NONE;
		}
		d->head = HEAD_OPEN;
		d->frame = FRAME_NONE;
		s->pipelined |= d->starts > 1 || !begins_burst;
		if (d->plan.look == LOOK_REQUEST) {
			s->calls++;
			add_in(dir, c->requests_seen, 1);
		} else {
			add_in(dir, c->responses_seen, 1);
			if (may_switch(d))
				follow_switch(skb, dir, seq, offset, length);
		}
		break;
	case LOOK_TLS:
		if (!begins_burst && !d->plan.gathered)
			break;
		s->guess = HW_GUESS_TLS;
		/* Joined later it cannot be decrypted. */
		if (s->from_start)
			s->followed = 1;
		follow_frames(d, s->followed ? FRAME_TLS : FRAME_NONE, seq);
		d->frame_have = d->plan.gathered;
		break;
	case LOOK_H2:
		s->h2_stream |= s->guess == HW_GUESS_H1;
		s->guess = HW_GUESS_H2;
		s->followed = 1;
		follow_frames(d, FRAME_H2, seq);
		d->frame_keep = H2_PREFACE_BYTES - d->plan.gathered;
		break;
	case LOOK_SETTINGS:
		if (!d->switched && (!begins_burst || !s->from_start || s->guess != HW_GUESS_UNKNOWN))
			break;
		s->h2_stream |= s->guess == HW_GUESS_H1;
		s->guess = HW_GUESS_H2;
		s->followed = 1;
		follow_frames(d, FRAME_H2, seq);
		break;
	case LOOK_MORE:
		/* Inside a chunked body text is chunk data, and digits are a chunk's size: the place is kept. */
		if (s->guess == HW_GUESS_H1 && !d->frame)
			d->head = HEAD_OPEN;
		break;
	case LOOK_FRAME:
		/* HTTP/2 that is older than the agent: what its header blocks refer to may be unknown, its calls are not. */
		if (begins_burst && !s->from_start && (s->guess == HW_GUESS_UNKNOWN || s->guess == HW_GUESS_OTHER)) {
			s->guess = HW_GUESS_H2;
			s->followed = 1;
			follow_frames(d, FRAME_H2, seq);
			break;
		}
		/* fallthrough */
	default:
		/* An answer goes on behind a request. */
		s->pipelined |= d->plan.burst & d->answers;
		/* The first thing seen of an old connection need not be where a burst begins. */
		if (d->plan.burst && s->guess == HW_GUESS_UNKNOWN && (s->from_start || other->known)) {
			d->foreign = 1;
			if (other->foreign)
				s->guess = HW_GUESS_OTHER;
		}
	}
}

static __always_inline int is_whole(__u32 length, __u8 flags)
{
	return length < (flags & TCP_FLAG_PSH ? WHOLE_WRITE_BYTES : WHOLE_BYTES);
}

/* Finds where the header block ends, as far as it is worth knowing. */
static __always_inline void find_head_end(struct __sk_buff *skb, struct direction *d, const __u8 dir,
					  __u32 seq, __u32 offset, __u32 length, __u8 flags)
{
	if (d->plan.begins && length >= 4 && is_whole(length, flags)) {
		__u8 last[4] __attribute__((aligned(4)));

		if (d->plan.copied)
			*(__u32 *)last = d->plan.ends_seen.last;
		else if (bpf_skb_load_bytes(skb, offset + length - 4, last, 4))
			return;
		if (last[2] != '\r' || last[3] != '\n') {
			if (d->trusted) {
				d->tail = last[3] == '\n' ? TAIL_LF : last[2] == '\n' && last[3] == '\r' ? TAIL_LFCR : TAIL_NONE;
				return;
			}
			d->trusted = 1;
		}
		if (last[0] == '\r' && last[1] == '\n') {
			/* The usual request: a header block and nothing else. */
			d->head = HEAD_ENDED;
			d->plan.head_end = length;
			expect_chunks(d, seq + length);
			/* A GET has no body. */
			if (d->answers || !d->plan.copied || (__u8)d->plan.ends_seen.first != 'G')
				read_alone(skb, dir, seq, offset, length);
			return;
		}
	}
	scan_heads(skb, dir, seq, offset, length);
}

/* How many bytes of the segment the window lets through. */
static __always_inline void measure(const struct socket_state *s, struct direction *d, __u32 seq, __u32 length)
{
	/* Bytes that were overtaken may belong to the header block, also when its end was seen since. */
	const __u32 window = d->head == HEAD_OPEN || d->plan.fills ? config.head_budget : config.window;
	__s64 position = (__s32)(seq - d->burst_seq), limit = 0, want;

	if (s->guess == HW_GUESS_H1) {
		d->plan.rest = HW_CLASS_WINDOW;
		limit = d->starts > 1 && !d->plan.fills ? config.window * PIPELINE_FACTOR : window;
	} else {
		d->plan.rest = s->guess == HW_GUESS_OTHER ? HW_CLASS_OTHER :
			     !s->from_start && !s->followed ? HW_CLASS_UNKNOWN :
			     s->guess == HW_GUESS_TLS ? HW_CLASS_TLS :
			     s->guess == HW_GUESS_H2 ? HW_CLASS_H2 : HW_CLASS_OTHER;
		/* Of TLS that is older than the agent the first burst says that it is there. */
		if (s->followed || ((s->from_start || s->guess == HW_GUESS_TLS) && d->bursts <= 1) ||
		    d->plan.look == LOOK_MORE)
			limit = window;
	}
	/* All of it is the rest of a record or frame of which pressure took a part. */
	if (d->plan.walked == WALK_NOTHING && d->frame_shed)
		d->plan.rest = HW_CLASS_SHED_BODY;
	if (position > POSITION_MAX)
		d->burst_seq = seq - POSITION_MAX;
	want = limit - position;
	if (want < (__s64)d->plan.head_end)
		want = d->plan.head_end;
	d->plan.want = want <= 0 ? 0 : want < length ? (__u32)want : length;
	if (d->plan.want < length && s->guess == HW_GUESS_H1 && length <= config.small_segment &&
	    d->streamed + length <= config.stream_budget) {
		d->streamed += length;
		d->plan.want = length;
	}
	if (d->plan.walked != WALK_LOST)
		d->plan.want = d->plan.walked == WALK_WHOLE ? length : 0;
	d->plan.have = d->plan.want;
	if (d->head == HEAD_OPEN && position + length >= config.head_budget)
		d->head = HEAD_NONE;
}

/*
 * Under pressure: body bytes go first, then the header blocks of a growing share of calls. A call that was shed stays so
 * when the pressure is over: half of it would be worth less than nothing. A global function, so that the verifier does
 * not multiply the rest of the program by it; it looks the state up again, but only under pressure.
 */
__noinline int shed(struct __sk_buff *skb, __u32 dir, __u32 level)
{
	struct socket_state *s;
	struct direction *d;
	__u32 keep = 0, what;

	s = state_of(skb);
	if (!s)
		return 0;
	d = direction_of(s, dir);
	if (d->plan.look == LOOK_REQUEST)
		s->shed_call = level >= PRESSURE_HEAD && sheds_call(s, s->calls, level);
	d->plan.silent = level >= PRESSURE_ALL;
	if ((level == PRESSURE_NONE && !s->shed_call) || d->plan.walked != WALK_LOST)
		return 0;
	what = d->plan.begins || d->plan.look == LOOK_MORE || d->plan.head_before == HEAD_OPEN;
	if (what && level < PRESSURE_ALL && !(s->shed_call && s->guess == HW_GUESS_H1))
		keep = d->plan.head_end ? d->plan.head_end :
		       d->plan.head_before == HEAD_OPEN ? d->plan.want : PRESSED_FIRST_BYTES;
	if (d->plan.have > keep) {
		d->plan.have = keep;
		d->plan.shed = keep || !what ? HW_CLASS_SHED_BODY : HW_CLASS_SHED_HEAD;
	}
	return 0;
}

#endif
