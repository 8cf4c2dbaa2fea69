/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How full the ring is, and what goes first when it fills up. */
#ifndef HEADWATER_PRESSURE_H
#define HEADWATER_PRESSURE_H

#include "count.h"
#include "maps.h"

#define PRESSURE_NONE 0
#define PRESSURE_BODY 1
#define PRESSURE_HEAD 2
#define PRESSURE_ALL 258

/*
 * Each CPU asks for every eighth segment of a direction, until the ring is half full. In between it tells 16 x 64 KiB at most, which a ring
 * of some megabytes has room for; of a smaller one each segment asks.
 */
#define ASK_EVERY 8
#define ASK_ALWAYS_BELOW (4 << 20)

/*
 * A reader that waits is woken when the ring is so full: half more than it wants to find. A body in TLS comes in faster than
 * any wait is over, and what the reader says of it (is_spared) spares most of it.
 */
#define WAKE_ABOVE(size) ((size) / 16 * 3)

static __always_inline void wake_reader(void)
{
	__u32 key = 0;
	struct hw_control *c = bpf_map_lookup_elem(&control, &key);
	void *nothing;

	if (!c || c->reader != HW_READER_WAITS)
		return;
	/* Once: a wake-up costs as much as a record, and on a busy machine many records come before it gets a core. */
	c->reader = HW_READER_LOOKS;
	nothing = bpf_ringbuf_reserve(&ring, 8, 0);
	if (nothing)
		bpf_ringbuf_discard(nothing, BPF_RB_FORCE_WAKEUP);
}

/* Asks how full the ring is: one of PRESSURE_*. A global function for the sake of the verifier: its result is unknown. */
__noinline __u32 ask_pressure(__u32 dir)
{
	struct hw_counters *c = this_cpu(dir);
	__u64 used, size = config.ring_bytes;

	if (!c)
		return PRESSURE_NONE;
	used = bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA);
	if (used > WAKE_ABOVE(size))
		wake_reader();
	if (used <= size / 2) {
		if (size >= ASK_ALWAYS_BELOW)
			c->calm = ASK_EVERY - 1;
		return PRESSURE_NONE;
	}
	if (used <= size / 4 * 3)
		return PRESSURE_BODY;
	/* 2 to 257: the share of calls, of 256, whose header blocks go, from three quarters to fifteen sixteenths. */
	used = (used - size / 4 * 3) * 256 / (size / 16 * 3);
	return used >= 256 ? PRESSURE_ALL : used + PRESSURE_HEAD;
}

/* How full the ring is, as one of PRESSURE_*. */
static __always_inline __u32 pressure(struct hw_counters *c, __u32 dir)
{
	/* Read once: what interrupts this program and asks, too, may set it back to 0. */
	const __u64 calm = *(volatile __u64 *)&c->calm;

	if (!calm)
		return ask_pressure(dir);
	c->calm = calm - 1;
	return PRESSURE_NONE;
}

/* 0 up to PRESSURE_BODY, else 1. Arithmetic, because the verifier walks each branch through all that follows. */
static __always_inline __u32 beyond_bodies(__u32 level)
{
	return ((level >> 1) + 0xffff) >> 16;
}

static __always_inline int sheds_call(const struct socket_state *s, __u32 call, __u32 level)
{
	__u32 hash = ((__u32)s->cookie * 31 + call) * 0x9e3779b1u >> 24;

	return level == PRESSURE_ALL || hash < level - PRESSURE_HEAD;
}

#endif
