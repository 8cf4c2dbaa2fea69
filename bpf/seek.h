/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finds TLS records again where nobody knows any more where they begin (record.h): segments overtook one another, or under pressure a
 * header was not read. Without it the rest of a long body would be copied whole, or nothing of it be read.
 * Functions that call one another, because the verifier walks each once, and a loop in each of its rounds.
 */
#ifndef HEADWATER_SEEK_H
#define HEADWATER_SEEK_H

#include "load.h"
#include "record.h"
#include "scan.h"

/* Looked at in one call, and calls for one segment: the longest record and the header behind it lie in these, and a few wrong tracks. */
#define SEEK_CHUNKS 16
#define SEEK_BYTES (SEEK_CHUNKS * SCAN_CHUNK)
#define SEEKS_MAX 24
/* Headers that are followed in one segment; where there are more the records are so short that it is not worth it. */
#define CHAIN_MAX 12

/* Type and version of an application record (RFC 8446 5.1): 23, 3, 3. */
#define APPLICATION_BYTES 0x1717171717171717ULL
#define VERSION_BYTES 0x0303030303030303ULL

/* 1 more than where in SCAN_CHUNK bytes from `offset` on an application record may begin; 0: nowhere. The word behind must be there. */
__noinline int seek_chunk(struct __sk_buff *skb, __u32 offset)
{
	__u64 words[SCAN_CHUNK / 8 + 1], versions;

	if (bpf_skb_load_bytes(skb, offset, words, sizeof(words)))
		return 0;
	versions = equal_bytes(words[0], VERSION_BYTES);
#pragma unroll
	for (int i = 0; i < SCAN_CHUNK / 8; i++) {
		const __u64 next = equal_bytes(words[i + 1], VERSION_BYTES);
		const __u64 found = equal_bytes(words[i], APPLICATION_BYTES) & (versions >> 8 | next << 56) &
				    (versions >> 16 | next << 48);

		if (found)
			return i * 8 + first_marked_byte(found) + 1;
		versions = next;
	}
	return 0;
}

/* The same for SEEK_BYTES. */
__noinline int seek_some(struct __sk_buff *skb, __u32 offset)
{
	for (int i = 0; i < SEEK_CHUNKS; i++) {
		const int found = seek_chunk(skb, offset + i * SCAN_CHUNK);

		if (found)
			return i * SCAN_CHUNK + found;
	}
	return 0;
}

/*
 * Where in payload [offset, offset + length), or behind it, the record begins that follows those of which the first begins `at`; 0 when
 * these are none. One header alone is believed where its record ends with the segment, else two are.
 */
__noinline __u32 follow_chain(struct __sk_buff *skb, __u32 offset, __u32 length, __u32 at)
{
	__u32 headers = 0;

	for (int i = 0; i < CHAIN_MAX; i++) {
		__u8 b[8] __attribute__((aligned(8)));
		__u32 size;

		at = forgotten(at);
		if (at >= length)
			return headers > 1 || at == length ? at : 0;
		if (at + TLS_HEADER_BYTES > length || bpf_skb_load_bytes(skb, offset + at, b, TLS_HEADER_BYTES))
			return 0;
		size = b[3] << 8 | b[4];
		if (b[0] != TLS_APPLICATION || b[1] != 3 || b[2] != 3 || size > TLS_FRAGMENT_MAX)
			return 0;
		headers++;
		at += TLS_HEADER_BYTES + size;
	}
	return 0;
}

/* The same for the first records that are found in the segment. */
__noinline __u32 seek_records(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	__u32 at = 0, behind = follow_chain(skb, offset, length, 0);

	if (behind)
		return behind;
	for (int i = 0; i < SEEKS_MAX; i++) {
		int found;

		at = forgotten(at);
		if (at + SEEK_BYTES + 8 > length)
			return 0;
		found = seek_some(skb, offset + at);
		if (found) {
			behind = follow_chain(skb, offset, length, at + found - 1);
			if (behind)
				return behind;
		}
		at += found ? found : SEEK_BYTES;
	}
	return 0;
}

#endif
