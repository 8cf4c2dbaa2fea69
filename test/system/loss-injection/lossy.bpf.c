/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A bad cable, the same each time: of the packets with payload that leave the device, each DROP_EVERY-th is lost and each
 * COPY_EVERY-th sent twice. What comes after a lost packet arrives before its retransmission: out of order.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

#ifndef DROP_EVERY
#define DROP_EVERY 13
#endif
#ifndef COPY_EVERY
#define COPY_EVERY 7
#endif
/* Longer than any acknowledgement: Ethernet, IPv6 and TCP with options are 14 + 40 + 60. */
#define PAYLOAD_FROM 115
#define COPIED 0x4877

__u64 packets = 0;

SEC("tc")
int lossy(struct __sk_buff *skb)
{
	__u64 n;

	if (skb->len < PAYLOAD_FROM || skb->mark == COPIED)
		return TC_ACT_OK;
	n = __sync_fetch_and_add(&packets, 1) + 1;
	if (n % DROP_EVERY == 0)
		return TC_ACT_SHOT;
	if (n % COPY_EVERY == 0) {
		skb->mark = COPIED;
		bpf_clone_redirect(skb, skb->ifindex, 0);
	}
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
