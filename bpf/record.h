/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Follows TLS records (RFC 8446 5.1, RFC 5246 6.2.1) and HTTP/2 frames (RFC 9113 4.1) by their own lengths. Headers are
 * copied always, and whatever can carry a header block or control; of long application records and DATA frames the
 * beginning. What is left out is counted like any other byte, and the records' ranges say where it lay.
 */
#ifndef HEADWATER_RECORD_H
#define HEADWATER_RECORD_H

#include "chunk.h"
#include "count.h"
#include "length.h"
#include "load.h"
#include "look.h"
#include "pressure.h"
#include "turn.h"

/* What is followed, beside CHUNK_*. */
#define FRAME_TLS 10
#define FRAME_H2 11

#define TLS_HEADER_BYTES 5
#define TLS_APPLICATION 23
/* 2^14 of plaintext and at most 2048 around it (RFC 5246 6.2.3). */
#define TLS_FRAGMENT_MAX (16384 + 2048)
/*
 * Up to this many bytes an application record is copied whole, whatever the reader says and also under a little pressure: heads,
 * alerts and key updates are among them. A segment that is one of these takes a short way.
 */
#define TLS_WHOLE_BYTES 4096
/* Copied of one that the reader says nobody needs: what tells a ticket from content. */
#define TLS_LEAST_BYTES 16
/* What the reader says lies no farther ahead; anything else is old. */
#define TLS_SPARED_AHEAD_MAX (1 << 30)
/* Copied of a longer one under pressure, ... */
#define TLS_PART_BYTES 512
/* ... but of the first of a turn, which has a message's head: half a head would be worth little. */
#define TLS_HEAD_BYTES 2048

#define H2_HEADER_BYTES 9
#define H2_PREFACE_BYTES 24
#define H2_DATA 0
#define H2_HEADERS 1
#define H2_LAST_TYPE 9
/* A DATA frame is copied whole up to this: server-sent events, short gRPC messages. Less would not pay for a record. */
#define H2_WHOLE_BYTES 2048
/* Copied of a longer one: pad length, the prefix of a gRPC message, the first line of text. */
#define H2_PART_BYTES 240
/* The same beyond the burst's budget, and under pressure: pad length and gRPC prefix. */
#define H2_LEAST_BYTES 7

/* More records than can be told, or a number that is not known. */
#define UNTOLD_UNKNOWN 65536

/* Copied at once of one record or frame, so that it fits in a ring record; the rest follows. */
#define UNIT_BYTES 8192

/* Can this be a frame's header (length, type, flags, stream)? Only what a peer must answer with a connection error says no. */
static __always_inline int is_frame(__u32 length, __u8 type, __u32 stream)
{
	switch (type) {
	case 0:			/* DATA */
	case 1:			/* HEADERS */
	case 5:			/* PUSH_PROMISE */
	case 9:			/* CONTINUATION */
		return stream != 0;
	case 2:			/* PRIORITY */
		return stream && length == 5;
	case 3:			/* RST_STREAM */
		return stream && length == 4;
	case 4:			/* SETTINGS */
		return !stream && length % 6 == 0;
	case 6:			/* PING */
		return !stream && length == 8;
	case 7:			/* GOAWAY */
		return !stream && length >= 8;
	case 8:			/* WINDOW_UPDATE */
		return length == 4;
	default:		/* Extensions, and types that are sent to be ignored. */
		return length <= 16384;
	}
}

/* How many bytes of a DATA frame's payload are copied. Moves the budget on. */
static __always_inline __u32 part_of(struct direction *d, __u32 length, __u32 whole, __u32 part, __u32 least)
{
	__u32 keep = d->streamed + length > config.stream_budget ? least : length <= whole ? length : part;

	if (keep > length)
		keep = length;
	d->streamed += keep;
	return keep;
}

/* Does the reader say that nobody needs the bytes of this direction before `end`? */
static __always_inline int is_spared(const struct socket_state *s, __u32 dir, __u32 end)
{
	__u32 key = 0;
	const struct hw_control *c = bpf_map_lookup_elem(&control, &key);
	__u64 spare, place;

	if (!c)
		return 0;
	/* Masked last: before Linux 6.3 the verifier loses a bound that is or-ed to. */
	place = s->cookie << 1 | (dir & 1);
	barrier_var(place);
	place &= HW_SPARES_MAX - 1;
	spare = c->spares[place];
	return (__u32)(spare >> 32) == (__u32)s->cookie && (__u32)spare - end < TLS_SPARED_AHEAD_MAX;
}

/* Reads d->first as a header that ends `at` so many bytes of payload, at `seq`: what of the unit is copied, what is skipped. 0: it is none. */
static __always_inline int read_header(struct socket_state *s, struct direction *d, __u32 dir, __u32 at, __u32 seq)
{
	const __u8 *b = d->first;
	__u32 length, keep, wanted;

	if (d->frame == FRAME_TLS) {
		length = b[3] << 8 | b[4];
		if (b[0] < 20 || b[0] > 24 || b[1] != 3 || b[2] > 4 || length > TLS_FRAGMENT_MAX)
			return 0;
		keep = wanted = length;
		if (b[0] == TLS_APPLICATION) {
			take_turn(s, d, dir, length, at);
			shed_connection(s, d->plan.level);
			if (s->shed_call) {
				d->marks |= HW_MARK_SHED_HEAD;
				d->frame_keep = 0;
				d->frame_skip = length;
				return 1;
			}
			/* Chunk-size lines and frames begin anywhere in a record, and one that is missed spoils what comes after it. */
			if (length > TLS_WHOLE_BYTES && is_spared(s, dir, seq + length))
				keep = wanted = TLS_LEAST_BYTES;
			if (d->plan.level >= PRESSURE_BODY && (d->plan.level > PRESSURE_BODY || length > TLS_WHOLE_BYTES))
				keep = at_most(keep, d->plan.turn && d->plan.turn_at == at ? TLS_HEAD_BYTES : TLS_PART_BYTES);
		}
	} else {
		__u32 stream = (b[5] << 24 | b[6] << 16 | b[7] << 8 | b[8]) & 0x7fffffff;

		length = b[0] << 16 | b[1] << 8 | b[2];
		if (!is_frame(length, b[3], stream))
			return 0;
		/* A client's streams have odd numbers that rise (RFC 9113 5.1.1): an answer, or trailers, are on one that is known. */
		if (b[3] == H2_HEADERS && stream & 1 && stream > s->h2_stream) {
			s->h2_stream = stream;
			s->h2_calls++;
		}
		if (b[3] == H2_DATA || b[3] > H2_LAST_TYPE) {
			keep = wanted = part_of(d, length, H2_WHOLE_BYTES, H2_PART_BYTES, H2_LEAST_BYTES);
			if (d->plan.level >= PRESSURE_BODY && keep > H2_LEAST_BYTES)
				keep = H2_LEAST_BYTES;
		} else {
			keep = wanted = length < config.head_budget ? length : config.head_budget;
		}
	}
	if (keep < wanted) {
		d->plan.extra_shed += wanted - keep;
		d->marks |= HW_MARK_SHED_BODY;
	}
	d->frame_shed = keep < wanted;
	d->frame_keep = keep;
	d->frame_skip = length - keep;
	return 1;
}

/* Where the next record or frame begins is not known any more. */
static __always_inline void lose_place(struct direction *d)
{
	d->frame = FRAME_NONE;
	d->frame_keep = d->frame_skip = 0;
	d->untold = UNTOLD_UNKNOWN;
}

/*
 * Reads from payload [offset, offset + length), whose first byte is d->frame_seq: of one record or frame, its header and
 * what is copied of it, as far as they lie there. Moves the state on and returns how many bytes from there on user space
 * must have; 0: there is no header where one must be, or plan.hushed. A global function: verified once.
 */
__noinline int read_record(struct __sk_buff *skb, __u32 dir, __u32 offset, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;
	__u32 n = 0, more, have;

	if (!s || !length)
		return 0;
	d = direction_of(s, dir);
	if (!d->frame_keep) {
		const __u32 header = d->frame == FRAME_TLS ? TLS_HEADER_BYTES : H2_HEADER_BYTES;

		have = d->frame_have & 15;
		n = header - have;
		if (n > length)
			n = length;
		if (load_up_to(skb, offset, d->first + have, n, H2_HEADER_BYTES))
			goto lost;
		have += n;
		d->frame_have = have;
		if (have < header) {
			d->frame_seq += n;
			return n;
		}
		d->frame_have = 0;
		if (!read_header(s, d, dir, offset + n - d->plan.offset, d->frame_seq + n))
			goto lost;
		if (d->frame == FRAME_TLS) {
			/* A header of which a part was told is told to its end. */
			if (d->frame_hushed || (s->shed_call && d->first[0] == TLS_APPLICATION && n == header)) {
				d->frame_hushed = 0;
				d->plan.hushed = 1;
				d->frame_seq += n + d->frame_keep + d->frame_skip;
				d->frame_keep = d->frame_skip = 0;
				return 0;
			}
			d->plan.units++;
		}
	}
	more = length - n;
	if (more > UNIT_BYTES - n)
		more = UNIT_BYTES - n;
	if (more > d->frame_keep)
		more = d->frame_keep;
	d->frame_keep -= more;
	n += more;
	d->frame_seq += n;
	if (!d->frame_keep) {
		d->frame_seq += d->frame_skip;
		d->frame_skip = 0;
	}
	return n;
lost:
	d->foreign = 1;
	lose_place(d);
	return 0;
}

/* What was read of TLS since it was last told is lost: the records that begin in it are not told any more. */
static __always_inline void not_told(struct direction *d)
{
	d->untold += d->plan.units;
	d->plan.gone += d->plan.units;
	d->plan.units = 0;
	if (d->frame != FRAME_TLS)
		return;
	d->frame_hushed = d->frame_have != 0;
	d->frame_seq += d->frame_keep + d->frame_skip;
	d->frame_keep = d->frame_skip = 0;
}

static __always_inline void follow_frames(struct direction *d, __u8 frame, __u32 seq)
{
	d->frame = frame;
	d->frame_seq = seq;
	d->frame_have = d->frame_hushed = 0;
	d->frame_keep = d->frame_skip = 0;
	d->head = HEAD_NONE;
}

/* One unit of HTTP/1: of a chunked body, or the next message's header block. */
static __always_inline int read_chunks(struct __sk_buff *skb, const struct direction *d, __u32 dir, __u32 offset,
				       __u32 length)
{
	return d->frame > NEXT_MESSAGE ? read_head_line(skb, dir, offset, length) :
	       d->frame == NEXT_MESSAGE ? begin_message(skb, dir, offset, length) :
	       d->frame == CHUNK_TRAILER ? read_trailer(skb, dir, offset, length) :
					   read_chunk_framing(skb, dir, offset, length);
}

/* One unit of whatever is followed. */
static __always_inline int read_framing(struct __sk_buff *skb, const struct direction *d, __u32 dir, __u32 offset,
					__u32 length)
{
	return d->frame >= FRAME_TLS ? read_record(skb, dir, offset, length)
				     : read_chunks(skb, d, dir, offset, length);
}

/* What `pass_over` found. */
#define PASSED_MORE 0	/* not at the end yet */
#define PASSED_ALL 1	/* every byte from the first unit on is wanted */
#define PASSED_PART 2	/* some are not */

/* Units passed over in one call, and calls for one segment: UNIT_BYTES of empty frames. */
#define PASSES 16
#define PASS_CALLS_MAX 64

static __always_inline int pass_units(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 offset, __u32 length,
				      int copied)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;

	if (!s)
		return PASSED_PART;
	d = direction_of(s, dir);
#pragma unroll 1
	for (int i = 0; i < PASSES; i++) {
		__u32 at = d->frame_seq - seq, n;

		if (!d->frame || at >= length)
			return PASSED_ALL;
		n = copied ? read_framing(skb, d, dir, offset + at, length - at) : read_record(skb, dir, offset + at, length - at);
		if (!n || (!copied && at + n < length && d->frame_seq - seq != at + n))
			return PASSED_PART;
	}
	return PASSED_MORE;
}

/*
 * Move on over framing in payload [offset, offset + length), which begins at `seq`: over that of a segment that is copied
 * already, over records or frames as long as each is wanted whole. Two functions, because the stacks of all that may call one another
 * count together.
 */
__noinline int pass_copied(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 offset, __u32 length)
{
	return pass_units(skb, dir, seq, offset, length, 1);
}

__noinline int pass_records(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 offset, __u32 length)
{
	return pass_units(skb, dir, seq, offset, length, 0);
}

static __always_inline int pass_over(int (*pass)(struct __sk_buff *, __u32, __u32, __u32, __u32), struct __sk_buff *skb,
				     __u32 dir, __u32 seq, __u32 offset, __u32 length)
{
#pragma unroll 1
	for (int i = 0; i < PASS_CALLS_MAX; i++) {
		int passed = pass(skb, dir, seq, offset, length);

		if (passed != PASSED_MORE)
			return passed;
	}
	return PASSED_PART;
}

#endif
