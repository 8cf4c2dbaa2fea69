/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What nearly every function begins with. */
#ifndef HEADWATER_LOAD_H
#define HEADWATER_LOAD_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

/*
 * The same value, of which the verifier knows nothing any more. Before Linux 6.3 it takes every scalar of a program with
 * functions for precise: what a loop sums up then differs in each of its rounds and ways, and none is like another.
 */
__noinline __u64 forgotten(__u64 value)
{
	barrier_var(value);
	return value;
}

/* The same in two instructions, where there is a number of which the verifier knows nothing. */
static __always_inline __u64 blurred(__u64 value, __u64 noise)
{
	asm volatile("%0 += %1\n%0 -= %1" : "+r"(value) : "r"(noise));
	return value;
}

/*
 * Loads `n` bytes of the packet, 1 to `room`; not 0 when they are not there. The compiler must not see through the
 * comparison: the verifier wants 1 <= size <= room from it.
 */
static __always_inline int load_up_to(struct __sk_buff *skb, __u32 offset, void *to, __u32 n, __u32 room)
{
	__u64 less = n - 1;

	barrier_var(less);
	if (less >= room)
		return -1;
	return bpf_skb_load_bytes(skb, offset, to, less + 1);
}

/* The state of the packet's socket; NULL when there is none. For global functions, which may take numbers alone. */
static __always_inline struct socket_state *state_of(struct __sk_buff *skb)
{
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return NULL;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return NULL;
	return bpf_sk_storage_get(&sockets, sk, 0, 0);
}

/* One direction of it. The barrier keeps the compiler from having the address of each field at hand, in the little stack there is. */
static __always_inline struct direction *direction_of(struct socket_state *s, __u32 dir)
{
	struct direction *d = &s->direction[dir & 1];

	barrier_var(d);
	return d;
}

#endif
