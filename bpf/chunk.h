/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Follows a chunked body (RFC 9112 7.1) by its own lengths: chunk-size lines are copied wherever they are, chunk data
 * beyond the window is left out. A body of known length looks wrong at its first line and is not followed.
 */
#ifndef HEADWATER_CHUNK_H
#define HEADWATER_CHUNK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "load.h"
#include "scan.h"

/* Where in the framing: what the next byte must be. */
#define FRAME_NONE 0		/* nothing is followed */
#define CHUNK_SIZE 1		/* first digit of a chunk size */
#define CHUNK_DIGITS 2		/* more digits, or the end of them */
#define CHUNK_EXTENSION 3	/* anything up to the line's end */
#define CHUNK_DATA_CR 4		/* line end after chunk data */
#define CHUNK_DATA_LF 5

/* Bytes looked at in one go; a longer extension takes several. */
#define CHUNK_LOOK 16
/* A bigger chunk would leave the range in which sequence numbers can be compared. */
#define CHUNK_SIZE_MAX (1 << 30)
/* Copied behind the last chunk in its segment: the trailer section, and what may follow. */
#define TRAILER_BYTES 4096

#define CHUNK_STEP(state, size, done) ((__u64)(size) | (__u64)(state) << 32 | (__u64)(done) << 40)
#define STEP_SIZE(r) ((__u32)(r))
#define STEP_STATE(r) ((__u32)((r) >> 32) & 255)
#define STEP_DONE(r) ((r) >> 40)

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
		/* The trailer section, maybe empty, ends like a header block: an empty line, the last of it seen so far a line end. */
		d->frame = FRAME_NONE;
		d->head = HEAD_OPEN;
		d->tail = TAIL_LF;
		d->burst_seq = d->frame_seq + i + 1;
		d->streamed = 0;
		return length < TRAILER_BYTES ? length : TRAILER_BYTES;
	}
	d->frame = STEP_STATE(step);
	d->frame_size = STEP_SIZE(step);
	if (!d->frame)
		return 0;
	d->frame_seq += n;
	return n;
}

#endif
