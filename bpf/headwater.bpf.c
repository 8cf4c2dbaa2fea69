/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel side of packet capture, one object. Needs CAP_BPF and CAP_NET_ADMIN, Linux 5.10 or later, no kernel
 * types: only <linux/bpf.h>.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"
#include "maps.h"

#ifndef barrier_var
#define barrier_var(v) asm volatile("" : "+r"(v))
#endif

const volatile struct hw_config config = {};

#include "packets.bpf.c"
#include "sockets.bpf.c"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
