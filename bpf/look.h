/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the first bytes of a burst or of a segment look like. The kernel proposes; user space, which knows framing, decides. */
#ifndef HEADWATER_LOOK_H
#define HEADWATER_LOOK_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "load.h"
#include "maps.h"
#include "state.h"

enum look {
	LOOK_NOTHING = 0,
	LOOK_MORE = 1,		/* could become a message start: too few bytes */
	LOOK_REQUEST = 2,
	LOOK_RESPONSE = 3,
	LOOK_TLS = 4,
	LOOK_H2 = 5,		/* a client's connection preface (RFC 9113 3.4) */
	LOOK_SETTINGS = 6,	/* a server's, which may come first: a SETTINGS frame */
	LOOK_FRAME = 7,		/* another HTTP/2 frame: means something on connections older than the agent only */
};

/* RFC 9110 leaves the length of a method open; no registered one is longer than 17. */
#define METHOD_LENGTH_MAX 32

/* tchar (RFC 9110 5.6.2) as a bit set of the 128 ASCII codes. */
#define TCHAR_LOW 0x03ff6cfa00000000ULL
#define TCHAR_HIGH 0x57ffffffc7fffffeULL

static __always_inline int is_tchar(__u8 c)
{
	if (c >= 128)
		return 0;
	return ((c < 64 ? TCHAR_LOW : TCHAR_HIGH) >> (c & 63)) & 1;
}

#define WORD(a, b, c, d, e, f, g, h) \
	((__u64)(a) | (__u64)(b) << 8 | (__u64)(c) << 16 | (__u64)(d) << 24 | (__u64)(e) << 32 | (__u64)(f) << 40 | \
	 (__u64)(g) << 48 | (__u64)(h) << 56)
#define BYTES(n) ((1ULL << 8 * (n)) - 1)

/* Does a request target begin like this (RFC 9112 3.2: origin, asterisk, absolute form)? */
static __always_inline int is_target_start(__u8 c)
{
	return c == '/' || c == '*' || c == 'h' || c == 'H';
}

/*
 * Does a write begin with a frame that is common between messages (RFC 9113 6), and can it be little else? HEADERS that end
 * their block, with the flags that HEADERS have; or frames of one length: WINDOW_UPDATE, PING, a SETTINGS acknowledgement.
 */
static __always_inline int begins_frame(__u64 w)
{
	const __u32 length = (__u32)(__u8)(w >> 8) << 8 | (__u8)(w >> 16);
	const __u8 type = w >> 24, flags = w >> 32;

	/* Shorter than 64 KiB; the bit before the stream's number is reserved. */
	if ((__u8)w || (w >> 40 & 0x80))
		return 0;
	if (type == 1)
		return length > 0 && length <= 0x4000 && (flags & 0x4) && !(flags & ~0x2d);
	if (type == 8)
		return length == 4 && !flags;
	if (type == 6)
		return length == 8 && !(flags & ~1) && !(w >> 40);
	return type == 4 && length == 0 && flags == 1 && !(w >> 40);
}

/* The eight first bytes decide for nearly every message; LOOK_MORE: they do not. */
static __always_inline int look_quickly(__u64 w)
{
	__u8 first = w;

	if ((w & BYTES(7)) == WORD('H', 'T', 'T', 'P', '/', '1', '.', 0))
		return LOOK_RESPONSE;
	if ((w & BYTES(5)) == WORD('G', 'E', 'T', ' ', '/', 0, 0, 0) ||
	    (w & BYTES(6)) == WORD('P', 'O', 'S', 'T', ' ', '/', 0, 0) ||
	    (w & BYTES(5)) == WORD('P', 'U', 'T', ' ', '/', 0, 0, 0))
		return LOOK_REQUEST;
	/* Record type 20-23, version 3.0 to 3.4, at most 2^14 + 2048 bytes (RFC 5246 6.2.3, RFC 8446 5.1). */
	if (first >= 0x14 && first <= 0x17 && (__u8)(w >> 8) == 3 && (__u8)(w >> 16) <= 4 && (__u8)(w >> 24) <= 0x48)
		return LOOK_TLS;
	/* Below 256 bytes, no flags, stream 0. */
	if ((w & ~(0xffULL << 16)) == 4ULL << 24)
		return LOOK_SETTINGS;
	if (!is_tchar(first) && first != '\r' && first != '\n')
		return begins_frame(w) ? LOOK_FRAME : LOOK_NOTHING;
	return LOOK_MORE;
}

/* The same as a call: its result is unknown to the verifier, which then need not follow each one separately. */
__noinline int look_at_word(__u64 w)
{
	return look_quickly(w);
}

/* How many of the first four bytes are line ends. RFC 9112 2.2: one empty line before a request is to be ignored; two are. */
__noinline int leading_newlines(__u64 w)
{
	int at = 0;

	for (int i = 0; i < 4; i++, w >>= 8) {
		if ((__u8)w != '\r' && (__u8)w != '\n')
			break;
		at++;
	}
	return at;
}

/*
 * The `n` first bytes that the socket's state has gathered for a direction. A global function, so that the verifier
 * checks its many ways out only once; it may take numbers alone, hence the second look-up of the state.
 */
__noinline int look_closely(struct __sk_buff *skb, __u32 dir, __u32 n)
{
	struct socket_state *s;
	const __u8 *b;
	__u32 at = 0;

	if (n > FIRST_BYTES)
		return LOOK_NOTHING;
	s = state_of(skb);
	if (!s)
		return LOOK_NOTHING;
	b = s->direction[dir & 1].first;
	at = leading_newlines(*(const __u64 *)b) & 7;
	if (at >= n)
		return at == 4 ? LOOK_NOTHING : LOOK_MORE;
	if (b[at] >= 0x14 && b[at] <= 0x17) {
		if (at + 1 >= n)
			return LOOK_MORE;
		return b[at + 1] == 3 ? LOOK_TLS : LOOK_NOTHING;
	}
	__u64 w = *(const __u64 *)(b + at);
	__u32 valid = n - at < 7 ? n - at : 7;
	__u64 mask = (1ULL << 8 * valid) - 1;

	if (((w ^ WORD('H', 'T', 'T', 'P', '/', '1', '.', 0)) & mask) == 0)
		return valid == 7 ? LOOK_RESPONSE : LOOK_MORE;
	if (((w ^ WORD('P', 'R', 'I', ' ', '*', ' ', 'H', 0)) & mask) == 0)
		return valid == 7 ? LOOK_H2 : LOOK_MORE;
	if (n - at >= 8 && w == WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '))
		return LOOK_REQUEST;
	for (__u32 i = 0; i <= METHOD_LENGTH_MAX; i++) {
		if (at + i >= n)
			return LOOK_MORE;
		__u8 c = b[at + i];

		if (c == ' ') {
			if (i == 0)
				return LOOK_NOTHING;
			if (at + i + 1 >= n)
				return LOOK_MORE;
			return is_target_start(b[at + i + 1]) ? LOOK_REQUEST : LOOK_NOTHING;
		}
		if (!is_tchar(c))
			return LOOK_NOTHING;
	}
	return LOOK_NOTHING;
}

#endif
