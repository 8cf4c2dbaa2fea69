/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One CPU at a time for one direction of a connection. Egress runs under the socket's lock; ingress runs before it is taken.
 * A sender on loopback that the scheduler moves leaves segments with the CPU it came from, and a device with several queues
 * may deliver one flow by two of them: then two CPUs run ingress for one socket at the same time.
 *
 * Atomic addition without its result is all that Linux 5.10 has (others came with 5.12). It is enough: who reads 1 after it has
 * added 1 is alone, because everybody who is inside or asks has added 1 and not yet taken it off.
 */
#ifndef HEADWATER_TURNSTILE_H
#define HEADWATER_TURNSTILE_H

#include "count.h"
#include "load.h"

/*
 * How often it is asked again, the three multiplied: a tenth of a millisecond, several times what 64 KiB take that are copied whole
 * (some thousand looks were not enough). Bounded, because a CPU of a virtual machine may stand still.
 */
#define WAIT_LOOKS 28
#define WAIT_ROUNDS 28
#define WAIT_TRIES 64

static __always_inline int try_enter(struct direction *d)
{
	add(d->inside, 1);
	if (*(volatile __u32 *)&d->inside == 1)
		return 1;
	add(d->inside, -1);
	return 0;
}

static __always_inline void leave(struct direction *d)
{
	add(d->inside, -1);
}

/* Looks some times whether nobody is inside. */
__noinline int look_inside(struct __sk_buff *skb, __u32 dir)
{
	struct socket_state *s = state_of(skb);

	if (!s)
		return 0;
	for (int i = 0; i < WAIT_LOOKS; i++)
		if (!*(volatile __u32 *)&direction_of(s, dir)->inside)
			return 1;
	return 0;
}

/* Waits until nobody is inside, or not much longer. */
__noinline int wait_a_little(struct __sk_buff *skb, __u32 dir)
{
	for (int i = 0; i < WAIT_ROUNDS; i++)
		if (look_inside(skb, dir))
			return 1;
	return 0;
}

/* 1: this CPU is inside; 0: another one was for too long. A global function: verified once. */
__noinline int enter_late(struct __sk_buff *skb, __u32 dir)
{
	struct socket_state *s = state_of(skb);

	if (!s)
		return 0;
	for (int i = 0; i < WAIT_TRIES; i++)
		if (wait_a_little(skb, dir) && try_enter(direction_of(s, dir)))
			return 1;
	return 0;
}

#endif
