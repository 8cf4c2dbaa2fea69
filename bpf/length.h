/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Follows a body by its Content-Length (RFC 9112 6.2) to the next message: where a client pipelines, that one begins in the middle of a
 * segment. A header block is read line by line, and only what can be read in one way is followed.
 */
#ifndef HEADWATER_LENGTH_H
#define HEADWATER_LENGTH_H

#include "chunk.h"
#include "pressure.h"

/* Sequence numbers can be compared as far as this: 2 GiB, less what a segment may have before the body. */
#define LENGTH_MAX 0x7ff00000

/* A client that has not pipelined in so many calls is taken for one that does not; where it does later, the answer it interrupts may be missed. */
#define PIPELINED_BY 16

/* Bytes of a line looked at in one go. */
#define LINE_BYTES 64
#define NAME_BYTES 14
/* Digits of a length, and the bytes that hold them with the colon and space before and the line end behind. */
#define DIGITS_MAX 10
#define VALUE_BYTES 16

#define CONTENT WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-')
#define LENGTH WORD('l', 'e', 'n', 'g', 't', 'h', 0, 0)
#define TRANSFER WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r')
#define LOWER_CASE 0x2020202020202020ULL
#define LF_BYTES 0x0a0a0a0a0a0a0a0aULL

/* A message begins at `seq`: its header block is read from there on, unless pressure takes header blocks. */
static __always_inline void read_fields(struct direction *d, __u32 seq)
{
	if (d->plan.level > PRESSURE_BODY)
		return;
	d->frame = HEAD_AMID;
	d->frame_seq = seq;
	d->fields = LENGTH_NONE;
	d->line_have = 0;
}

/*
 * Is a header block that comes alone read for what follows it? Not where it ends like one but is a chunked message, all of it. Behind an answer
 * another one begins without a turn only where the client pipelines. A global function: verified once.
 */
__noinline int read_alone(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 offset, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;
	__u64 last = 0;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	if (d->answers && !s->pipelined && s->calls > PIPELINED_BY)
		return 0;
	if (length >= 8 && !bpf_skb_load_bytes(skb, offset + length - 8, &last, 8) &&
	    last >> 16 == WORD('\n', '0', '\r', '\n', '\r', '\n', 0, 0))
		return 0;
	read_fields(d, seq);
	return 0;
}

/* Are header blocks left out under pressure, or this one? */
static __always_inline int sheds_heads(const struct socket_state *s, const struct direction *d)
{
	return s->shed_call || d->plan.level > PRESSURE_BODY;
}

/* The value of a Content-Length, whose 16 bytes from behind the name on these are, as everybody writes it: a colon, a space, digits without leading zeros; -1: it is not. */
static __always_inline __s64 read_value(__u64 low, __u64 high)
{
	__u64 value = 0, digits = 0, reading = 1, ended = 0, first = low >> 16 | high << 48, more = high >> 16;

	if ((low & 0xffff) != (':' | ' ' << 8))
		return -1;
	/* Without branches: the verifier would walk each combination. */
#pragma unroll 1
	for (int i = 0; i <= DIGITS_MAX; i++) {
		const __u64 digit = (first & 255) - '0', before = reading;

		reading &= (digit - 10) >> 63 & ~(digit >> 63);
		value += reading * (value * 9 + digit);
		digits += reading;
		ended |= (before ^ reading) & (((first & 0xffff) ^ ('\r' | '\n' << 8)) - 1) >> 63;
		first = first >> 8 | more << 56;
		more >>= 8;
	}
	return ended && digits && value <= LENGTH_MAX && (digits == 1 || (low >> 16 & 255) != '0') ? (__s64)value : -1;
}

/* Behind which byte of `words` is the first line end? 0: there is none. */
static __always_inline __u32 line_end(const __u64 *words, int count)
{
#pragma unroll
	for (int i = 0; i < count; i++) {
		const __u64 lf = equal_bytes(words[i], LF_BYTES);

		if (lf)
			return i * 8 + first_marked_byte(lf) + 1;
	}
	return 0;
}

/* Are these the first 16 bytes of a Content-Length's line, in lower case? */
static __always_inline int is_content_length(__u64 name, __u64 more)
{
	return name == CONTENT && (more & BYTES(NAME_BYTES - 8)) == LENGTH;
}

/* A line says what follows the header block, or may say so: what does the block say now? */
static __always_inline void note_framing(struct direction *d, __s64 value)
{
	d->fields = value < 0 || d->fields != LENGTH_NONE ? LENGTH_ODD : LENGTH_ONE;
	d->frame_size = value;
}

/* Such a line at payload [offset, offset + length). A global function: hardly any line comes here. */
__noinline int take_framing(struct __sk_buff *skb, __u32 dir, __u32 offset, __u32 length, __u32 is_length)
{
	struct socket_state *s = state_of(skb);
	__u64 words[VALUE_BYTES / 8] = {};

	if (!s)
		return 0;
	if (is_length && load_up_to(skb, offset + NAME_BYTES, words, at_most(length - NAME_BYTES, VALUE_BYTES), VALUE_BYTES))
		is_length = 0;
	note_framing(direction_of(s, dir), is_length ? read_value(words[0], words[1]) : -1);
	return 0;
}

/*
 * Reads on in a line that may say a length, and that a segment's end cut: at payload [offset, offset + length), whose first byte is
 * d->frame_seq. Returns as read_head_line does. A global function: hardly any line comes here.
 */
__noinline int resume_line(struct __sk_buff *skb, __u32 dir, __u32 offset, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;
	__u32 have, n, end;
	__u64 low, high;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	have = d->line_have;
	d->line_have = 0;
	if (have >= LINE_CUT_BYTES)
		return 0;
	n = at_most(length, LINE_CUT_BYTES - have);
	if (load_up_to(skb, offset, (void *)d->line + have, n, LINE_CUT_BYTES)) {
		d->frame = FRAME_NONE;
		return 0;
	}
	end = line_end(d->line, LINE_CUT_BYTES / 8);
	/* Behind these bytes are those of a line before. */
	if (end > have + n)
		end = 0;
	if (!end && n == length && have + n < LINE_CUT_BYTES) {
		d->line_have = have + n;
		d->frame_seq += n;
		return n;
	}
	low = d->line[1] >> 48 | d->line[2] << 16;
	high = d->line[2] >> 48 | d->line[3] << 16;
	if (have + n > NAME_BYTES && is_content_length(d->line[0] | LOWER_CASE, d->line[1] | LOWER_CASE))
		note_framing(d, end ? read_value(low, high) : -1);
	else if ((d->line[0] | LOWER_CASE) == TRANSFER)
		note_framing(d, -1);
	d->frame = end ? HEAD_LINE : HEAD_AMID;
	if (end)
		n = end - have;
	d->frame_seq += n;
	return n;
}

/* Does payload [offset, offset + length) begin like a response, as far as it goes? */
static __always_inline int is_response(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	__u64 w = 0;

	if (load_up_to(skb, offset, &w, at_most(length, 7), 7))
		return 0;
	return !((w ^ WORD('H', 'T', 'T', 'P', '/', '1', '.', 0)) & (length < 7 ? (1ULL << 8 * (length & 7)) - 1 : BYTES(7)));
}

/* The header block ended: what follows it, in payload [offset, offset + length), whose first byte is d->frame_seq? A global function: verified once. */
__noinline int expect_body(struct __sk_buff *skb, __u32 dir, __u32 offset, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct direction *d;
	__u32 size;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	size = d->fields == LENGTH_ONE ? d->frame_size : 0;
	/* An answer to HEAD, and 304, have no body whatever they say (RFC 9112 6.3). */
	if (d->answers && is_response(skb, offset, length)) {
		size = 0;
	} else if (d->fields == LENGTH_ODD || (d->answers && d->fields == LENGTH_NONE)) {
		expect_chunks(d, d->frame_seq);
		return 0;
	}
	d->frame = NEXT_MESSAGE;
	d->frame_size = size;
	d->frame_seq += size;
	return 0;
}

/* Of a word fewer than eight bytes are there, and they are like those of `other`. */
static __always_inline int may_become(__u64 word, __u64 other, __u32 length)
{
	return length < 8 && !((word ^ other) & ((1ULL << 8 * (length & 7)) - 1));
}

/*
 * Reads on in a header block at payload [offset, offset + length), whose first byte is d->frame_seq, up to the line's end or LINE_BYTES.
 * Returns how many bytes that are; 0: the block is too long. A global function: verified once.
 */
__noinline int read_head_line(struct __sk_buff *skb, __u32 dir, __u32 offset, __u32 length)
{
	struct socket_state *s = state_of(skb);
	__u64 words[LINE_BYTES / 8] = {};
	struct direction *d;
	__u32 n = at_most(length, LINE_BYTES), end = 0, ends = 0;

	if (!s)
		return 0;
	d = direction_of(s, dir);
	if (sheds_heads(s, d) || d->frame_seq - d->burst_seq >= config.head_budget || load_up_to(skb, offset, words, n, LINE_BYTES)) {
		d->frame = FRAME_NONE;
		return 0;
	}
	if (d->line_have)
		return resume_line(skb, dir, offset, length);
	ends = line_end(words, LINE_BYTES / 8);
	if (ends)
		n = ends;
	if (d->frame == HEAD_LINE) {
		const __u64 name = words[0] | LOWER_CASE, more = words[1] | LOWER_CASE;
		const __u8 first = words[0];
		const int is_length = length > NAME_BYTES && is_content_length(name, more);

		if (first == '\r' && length == 1) {
			d->frame_seq++;
			return 1;
		}
		if (first == '\n')
			end = 1;
		else if ((words[0] & BYTES(2)) == WORD('\r', '\n', 0, 0, 0, 0, 0, 0))
			end = 2;
		if (end) {
			d->frame_seq += end;
			expect_body(skb, dir, offset + end, length - end);
			return end;
		}
		if (!ends && length < LINE_CUT_BYTES &&
		    (is_length || may_become(name, TRANSFER, length) || may_become(name, CONTENT, length) ||
		     (length >= 8 && name == CONTENT && may_become(more, LENGTH, length - 8)))) {
			for (int i = 0; i < LINE_CUT_BYTES / 8; i++)
				d->line[i] = words[i];
			d->line_have = length;
			d->frame_seq += length;
			return length;
		}
		/* A length, a transfer coding, or a line that is folded (RFC 9112 5.2). */
		if (is_length || name == TRANSFER || first == ' ' || first == '\t')
			take_framing(skb, dir, offset, length, is_length);
	}
	d->frame = ends ? HEAD_LINE : HEAD_AMID;
	d->frame_seq += n;
	return n;
}

/* Can a message begin like this, of which `n` bytes are known: with a method, and a target where that can be seen? */
static __always_inline int is_method(__u64 w, __u32 n)
{
	for (__u32 i = 0; i < 8; i++, w >>= 8) {
		const __u8 c = w;

		if (i >= n)
			return 1;
		if (c == ' ')
			return i && (i + 1 >= n || is_target_start(w >> 8));
		if (c != '-' && (c < 'A' || c > 'Z'))
			return 0;
	}
	return 1;
}

/*
 * Where a followed body ends, at payload [offset, offset + length): a message begins there, or nothing is followed any more. Returns how
 * many bytes user space must have. A global function: verified once.
 */
__noinline int begin_message(struct __sk_buff *skb, __u32 dir, __u32 offset, __u32 length)
{
	struct socket_state *s = state_of(skb);
	struct hw_counters *c = this_cpu(dir);
	const __u32 n = at_most(length, 8);
	struct direction *d;
	__u64 w = 0;

	if (!s || !c)
		return 0;
	d = direction_of(s, dir);
	d->frame = FRAME_NONE;
	if (sheds_heads(s, d) || load_up_to(skb, offset, &w, n, 8))
		return 0;
	if (d->answers ? !is_response(skb, offset, length) : !is_method(w, n))
		return 0;
	s->pipelined = 1;
	if (d->answers)
		add(c->responses_seen, 1);
	else
		add(c->requests_seen, 1);
	d->starts = 1;
	d->head = HEAD_ENDED;
	d->burst_seq = d->frame_seq;
	d->streamed = 0;
	read_fields(d, d->frame_seq + 1);
	return 1;
}

#endif
