/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting. Each CPU has counters for each direction. Egress runs in process context, where softirqs and other processes
 * may send on the same CPU, so it takes atomic adds (plain XADD: no fetch, which older kernels lack), and so do sockets'
 * openings and closings, which count with it. Ingress runs in softirqs, of which one at a time runs on a CPU: on the hot
 * path it counts in plain steps, a third of the price, unless config.softirqs_mix.
 */
#ifndef HEADWATER_COUNT_H
#define HEADWATER_COUNT_H

#include "maps.h"

#define add(counter, n) ((void)__sync_fetch_and_add(&(counter), (n)))

/* This CPU's counters of a direction, enum hw_direction. */
static __always_inline struct hw_counters *this_cpu(__u32 dir)
{
	__u32 place = bpf_get_smp_processor_id() * 2 + (dir & 1);

	return bpf_map_lookup_elem(&counters, &place);
}

/* Adds to a counter of `dir`, which the compiler knows: see above. */
#define add_in(dir, counter, n) \
	do { \
		if ((dir) == HW_INGRESS && !config.softirqs_mix) \
			(counter) += (n); \
		else \
			add(counter, n); \
	} while (0)

static __always_inline __u32 at_most(__u32 n, __u32 limit)
{
	return n < limit ? n : limit;
}

static __always_inline void count_class(struct hw_counters *c, __u64 class, __u64 segments, __u64 bytes)
{
	/* One register must carry both the comparison and the index, or the verifier does not connect them. */
	barrier_var(class);
	if (class >= HW_CLASSES)
		return;
	if (segments)
		add(c->segments[class], segments);
	if (bytes)
		add(c->bytes[class], bytes);
}

#endif
