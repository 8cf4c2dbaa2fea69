/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Counting. Egress runs in process context and can be interrupted by ingress on the same CPU, so even this CPU's own
 * counters take atomic adds (plain XADD: no fetch, which older kernels lack).
 */
#ifndef HEADWATER_COUNT_H
#define HEADWATER_COUNT_H

#include "maps.h"

#define add(counter, n) ((void)__sync_fetch_and_add(&(counter), (n)))

static __always_inline struct hw_counters *this_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();
	return bpf_map_lookup_elem(&counters, &cpu);
}

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
