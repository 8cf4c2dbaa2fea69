/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Does a ClientHello offer HTTP/2 (RFC 8446 4.1.2, RFC 7301 3.1)? Inside TLS its frames may lie anywhere in a record, so
 * less may be left out there. What the server chooses is encrypted in TLS 1.3; the offer is not.
 */
#ifndef HEADWATER_HELLO_H
#define HEADWATER_HELLO_H

#include "load.h"

#define HELLO_NOT 0
#define HELLO_WITHOUT_H2 1
#define HELLO_WITH_H2 2

/* Record and handshake header, version, random: the session id's length follows. */
#define HELLO_FIXED_BYTES 43
#define EXTENSION_ALPN 16
/* Browsers send some twenty, and one or two protocols. */
#define EXTENSIONS_MAX 48
#define PROTOCOLS_MAX 8

/* `n` bytes at `at` as a big-endian number; -1: they are not in the segment. */
static __always_inline __s64 number_at(struct __sk_buff *skb, __u32 at, __u32 n)
{
	__u8 b[4] = {};

	if (load_up_to(skb, at, b, n, 4))
		return -1;
	return n == 1 ? b[0] : n == 2 ? b[0] << 8 | b[1] : (__u32)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

/* Is "h2" in the protocol list that begins at `at`? */
__noinline int list_has_h2(struct __sk_buff *skb, __u32 at)
{
	__s64 length = number_at(skb, at, 2);
	__u32 end = at + 2 + length;

	at += 2;
	for (int i = 0; i < PROTOCOLS_MAX; i++) {
		__s64 entry;

		if (length < 0 || at + 4 > end + 1)
			break;
		entry = number_at(skb, at, 4);
		if (entry >> 8 == 0x026832)
			return HELLO_WITH_H2;
		if (entry < 0)
			break;
		at = forgotten(at + 1 + (entry >> 24));
	}
	return HELLO_WITHOUT_H2;
}

/*
 * HELLO_* of the TLS record at `offset` of the packet. One that does not end in its segment, or makes no sense, may offer
 * anything; of one that is cut before its sixth byte nobody can say that it is one.
 */
__noinline int read_hello(struct __sk_buff *skb, __u32 offset)
{
	__u32 at = offset + HELLO_FIXED_BYTES, end;
	__s64 n;

	if (number_at(skb, offset + 5, 1) != 1)
		return HELLO_NOT;
	n = number_at(skb, at, 1);
	if (n < 0)
		return HELLO_WITH_H2;
	at += 1 + n;
	n = number_at(skb, at, 2);
	if (n < 0)
		return HELLO_WITH_H2;
	at += 2 + n;
	n = number_at(skb, at, 1);
	if (n < 0)
		return HELLO_WITH_H2;
	at += 1 + n;
	n = number_at(skb, at, 2);
	if (n < 0)
		return HELLO_WITH_H2;
	at += 2;
	end = at + n;
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		at = forgotten(at);
		if (at >= end)
			return HELLO_WITHOUT_H2;
		n = number_at(skb, at, 4);
		if (n < 0)
			break;
		if (n >> 16 == EXTENSION_ALPN)
			return list_has_h2(skb, at + 4);
		at += 4 + (n & 0xffff);
	}
	return HELLO_WITH_H2;
}

#endif
