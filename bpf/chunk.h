/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Follows a chunked body (RFC 9112 7.1) by its own lengths: chunk-size lines are copied wherever they are, chunk data
 * beyond the window is left out. A body of known length looks wrong at its first line and is not followed.
 */
#ifndef HEADWATER_CHUNK_H
#define HEADWATER_CHUNK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "count.h"
#include "load.h"
#include "look.h"
#include "scan.h"

/* Where in the framing: what the next byte must be. */
#define FRAME_NONE 0		/* nothing is followed */
#define CHUNK_SIZE 1		/* first digit of a chunk size */
#define CHUNK_DIGITS 2		/* more digits, or the end of them */
#define CHUNK_EXTENSION 3	/* anything up to the line's end */
#define CHUNK_DATA_CR 4		/* line end after chunk data */
#define CHUNK_DATA_LF 5
#define CHUNK_TRAILER 6		/* the trailer section, maybe empty */
#define NEXT_MESSAGE 7		/* a message, behind a body of frame_size bytes (length.h) */
#define HEAD_LINE 8		/* a line of its header block, maybe the empty one */
#define HEAD_AMID 9		/* the rest of such a line */

/* What the field lines of a header block say of its body's length, as far as they were read: direction.fields. */
#define LENGTH_NONE 0
#define LENGTH_ONE 1	/* one Content-Length, direction.frame_size */
#define LENGTH_ODD 2	/* a transfer coding, lines that were not read, or what two readers may take for two things */

/* Bytes looked at in one go; a longer extension takes several. */
#define CHUNK_LOOK 16
/* A bigger chunk would leave the range in which sequence numbers can be compared. */
#define CHUNK_SIZE_MAX (1 << 30)
/* Copied behind the last chunk in its segment whatever it is: short bodies of pipelined requests may lie there. */
#define TRAILER_BYTES 4096

#define CHUNK_STEP(state, size, done) ((__u64)(size) | (__u64)(state) << 32 | (__u64)(done) << 40)
#define STEP_SIZE(r) ((__u32)(r))
#define STEP_STATE(r) ((__u32)((r) >> 32) & 255)
#define STEP_DONE(r) ((r) >> 40)

static __always_inline void expect_chunks(struct direction *d, __u32 seq)
{
	d->frame = CHUNK_SIZE;
	d->frame_seq = seq;
	d->frame_size = 0;
}

/* One byte of framing; done: a chunk-size line has ended. A global function: its result is unknown to the verifier. */
__noinline __u64 chunk_step(__u64 before, __u32 c)
{
	__u32 state = STEP_STATE(before), size = STEP_SIZE(before), digit;

	if (state == CHUNK_DATA_CR && c == '\r')
		return CHUNK_STEP(CHUNK_DATA_LF, 0, 0);
	if (state >= CHUNK_DATA_CR)
		return CHUNK_STEP(c == '\n' ? CHUNK_SIZE : FRAME_NONE, 0, 0);
	digit = c - '0' < 10 ? c - '0' : (c | 32) - 'a' < 6 ? (c | 32) - 'a' + 10 : 16;
	if (state != CHUNK_EXTENSION && digit < 16)
		return CHUNK_STEP(size > CHUNK_SIZE_MAX >> 4 ? FRAME_NONE : CHUNK_DIGITS, size << 4 | digit, 0);
	if (state == CHUNK_SIZE)
		return CHUNK_STEP(FRAME_NONE, 0, 0);
	if (c == '\n')
		return CHUNK_STEP(CHUNK_DATA_CR, size, 1);
	if (state == CHUNK_DIGITS && c != '\r' && c != ';' && c != ' ' && c != '\t')
		return CHUNK_STEP(FRAME_NONE, 0, 0);
	return CHUNK_STEP(CHUNK_EXTENSION, size, 0);
}

/*
 * Reads framing from payload [offset, offset + length), whose first byte is d->frame_seq. Moves the state on and returns
 * how many bytes from there on user space must have; 0: this is no chunked body. A global function: verified once.
 */
__noinline int read_chunk_framing(struct __sk_buff *skb, __u32 dir, __u32 offset, __u32 length)
{
	struct socket_state *s;
	struct direction *d;
	__u8 b[CHUNK_LOOK] = {};
	__u64 step;
	int begins;
	__u32 n = length < CHUNK_LOOK ? length : CHUNK_LOOK;

	s = state_of(skb);
	if (!s)
		return 0;
	d = direction_of(s, dir);
	if (load_up_to(skb, offset, b, n, CHUNK_LOOK)) {
		d->frame = FRAME_NONE;
		return 0;
	}
	step = CHUNK_STEP(d->frame, d->frame_size, 0);
	for (__u32 i = 0; i < CHUNK_LOOK && i < n; i++) {
		step = chunk_step(step, b[i]);
		if (!STEP_STATE(step))
			break;
		if (!STEP_DONE(step))
			continue;
		d->frame_size = STEP_SIZE(step);
		if (d->frame_size) {
			d->frame = CHUNK_DATA_CR;
			d->frame_seq += i + 1 + d->frame_size;
			return i + 1;
		}
		/* The trailer section ends like a header block: an empty line, the last of it seen so far a line end. */
		d->frame = CHUNK_TRAILER;
		d->frame_seq += i + 1;
		d->head = HEAD_OPEN;
		d->tail = TAIL_LF;
		d->burst_seq = d->frame_seq;
		d->streamed = 0;
		return length < TRAILER_BYTES ? length : TRAILER_BYTES;
	}
	begins = d->frame == CHUNK_SIZE;
	d->frame = STEP_STATE(step);
	d->frame_size = STEP_SIZE(step);
	if (!d->frame) {
		/* The first letters of a method, too few to know, of a client that pipelines? Its header block goes on in the next segment. */
		if (begins && length < 8 && b[0] >= 'A' && b[0] <= 'Z') {
			d->head = HEAD_OPEN;
			d->tail = TAIL_NONE;
		}
		return 0;
	}
	d->frame_seq += n;
	return n;
}

/*
 * The same of what follows the last chunk in its segment, up to an empty line: behind it the next message begins. What is open at the
 * segment's end goes on like any header block (find_head_end).
 */
__noinline int read_trailer(struct __sk_buff *skb, __u32 dir, __u32 offset, __u32 length)
{
	struct socket_state *s;
	struct direction *d;
	int n = at_most(length, SCAN_BYTES), found;

	s = state_of(skb);
	if (!s || !n)
		return 0;
	d = direction_of(s, dir);
	found = scan_head(skb, offset, n, d->tail);
	if (found <= 0) {
		d->tail = -1 - found;
		d->frame_seq += n;
		return n;
	}
	d->tail = TAIL_NONE;
	d->head = HEAD_ENDED;
	d->frame = NEXT_MESSAGE;
	d->frame_seq += found;
	d->frame_size = 0;
	return found;
}

#endif
