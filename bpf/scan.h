/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Finds the empty line that ends a header block, eight bytes at a time. A global function: the verifier checks it once,
 * with unknown arguments, however often it is called.
 */
#ifndef HEADWATER_SCAN_H
#define HEADWATER_SCAN_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

/* Most bytes one call looks at. */
#define SCAN_BYTES 1024
#define SCAN_CHUNK 64

/* How much of an empty line the bytes scanned last were. */
#define TAIL_NONE 0
#define TAIL_LF 1
#define TAIL_LFCR 2

/* 0x80 in each byte of `w` that is `c` (repeated in `pattern`), exact in every byte. */
static __always_inline __u64 equal_bytes(__u64 w, __u64 pattern)
{
	const __u64 low = 0x7f7f7f7f7f7f7f7fULL;
	__u64 x = w ^ pattern;

	return ~(((x & low) + low) | x | low);
}

/* Index of the lowest byte marked with 0x80. Multiplied and not branched on: the verifier would walk each branch. */
static __always_inline __u32 first_marked_byte(__u64 marks)
{
	return ((marks & -marks) >> 7) * 0x0001020304050607ULL >> 56;
}

/* What is carried from word to word: marks of the two bytes before it, bit 7 the one before the last, bit 15 the last. */
struct carried {
	__u64 lf, cr;
};

/* Position after the empty line that ends in these words, or 0. One way through each word: the verifier walks each fork. */
static __always_inline __u32 scan_words(const __u64 *words, struct carried *before)
{
#pragma unroll
	for (int i = 0; i < SCAN_CHUNK / 8; i++) {
		__u64 lf = equal_bytes(words[i], 0x0a0a0a0a0a0a0a0aULL), cr = equal_bytes(words[i], 0x0d0d0d0d0d0d0d0dULL);
		__u64 after_lf = lf << 8 | before->lf >> 8, after_lfcr = (cr << 8 | before->cr >> 8) & (lf << 16 | before->lf);
		__u64 end = lf & (after_lf | after_lfcr);

		if (end)
			return i * 8 + first_marked_byte(end) + 1;
		before->cr = cr >> 48;
		before->lf = lf >> 48;
	}
	return 0;
}

/*
 * Scans payload [offset, offset + length), length from 1 to SCAN_BYTES, that follows bytes which ended in `tail`.
 * Returns the number of bytes up to and with the empty line (1 and more), or -1 - TAIL_* when there is none.
 */
__noinline int scan_head(struct __sk_buff *skb, __u32 offset, __u32 length, __u32 tail)
{
	struct carried before = {
		.lf = tail == TAIL_LF ? 0x8000 : tail == TAIL_LFCR ? 0x80 : 0,
		.cr = tail == TAIL_LFCR ? 0x8000 : 0,
	};
	__u64 words[SCAN_CHUNK / 8];
	__u32 at = 0, found;
	__u64 less;

	if (length == 0 || length > SCAN_BYTES)
		return -1;
	for (int i = 0; i < SCAN_BYTES / SCAN_CHUNK; i++) {
		if (at + SCAN_CHUNK > length)
			break;
		if (bpf_skb_load_bytes(skb, offset + at, words, SCAN_CHUNK))
			return -1;
		found = scan_words(words, &before);
		if (found)
			return at + found;
		at += SCAN_CHUNK;
	}
	less = length - at - 1;
	if (at < length) {
		__builtin_memset(words, 0, sizeof(words));
		barrier_var(less);
		if (less >= SCAN_CHUNK - 1 || bpf_skb_load_bytes(skb, offset + at, words, less + 1))
			return -1;
		found = scan_words(words, &before);
		if (found)
			return at + found;
	}

	__u8 last[2];

	if (length == 1) {
		if (bpf_skb_load_bytes(skb, offset, last, 1))
			return -1;
		return last[0] == '\n' ? -1 - TAIL_LF : last[0] == '\r' && tail == TAIL_LF ? -1 - TAIL_LFCR : -1 - TAIL_NONE;
	}
	if (bpf_skb_load_bytes(skb, offset + length - 2, last, 2))
		return -1;
	return last[1] == '\n' ? -1 - TAIL_LF : last[0] == '\n' && last[1] == '\r' ? -1 - TAIL_LFCR : -1 - TAIL_NONE;
}

#endif
