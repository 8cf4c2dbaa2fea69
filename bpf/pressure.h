/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How full the ring is, and what goes first when it fills up. */
#ifndef HEADWATER_PRESSURE_H
#define HEADWATER_PRESSURE_H

#include "maps.h"

/* How full the ring is, as one of PRESSURE_*. A global function for the sake of the verifier: its result is unknown. */
__noinline __u32 pressure(void)
{
	__u64 used = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA), size = config.ring_bytes;

	if (used <= size / 2)
		return 0;
	if (used <= size / 4 * 3)
		return 1;
	/* 2 to 257: the share of calls, of 256, whose header blocks go, from three quarters to fifteen sixteenths. */
	used = (used - size / 4 * 3) * 256 / (size / 16 * 3);
	return used >= 256 ? 258 : used + 2;
}
#define PRESSURE_NONE 0
#define PRESSURE_BODY 1
#define PRESSURE_HEAD 2
#define PRESSURE_ALL 258

static __always_inline int sheds_call(const struct socket_state *s, __u32 call, __u32 level)
{
	__u32 hash = ((__u32)s->cookie * 31 + call) * 0x9e3779b1u >> 24;

	return level == PRESSURE_ALL || hash < level - PRESSURE_HEAD;
}

#endif
