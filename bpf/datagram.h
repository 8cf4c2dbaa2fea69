/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * UDP: counted and not read. QUIC, and with it HTTP/3, is told from the rest by its handshake: packets with a long header and a
 * version (RFC 8999 5.1). Later ones look like anything, so the socket is remembered.
 */
#ifndef HEADWATER_DATAGRAM_H
#define HEADWATER_DATAGRAM_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/udp.h>
#include "count.h"
#include "parse.h"

#define QUIC_LONG_HEADER 0xc0	/* and the bit that is fixed (RFC 9000 17.2) */
#define QUIC_V1 0x00000001
#define QUIC_V2 0x6b3343cf	/* RFC 9369 */
#define QUIC_DRAFTS 0xff0000	/* the upper 24 bits */

static __always_inline int begins_quic(struct __sk_buff *skb, __u32 at)
{
	__u8 b[5];
	__u32 version;

	if (bpf_skb_load_bytes(skb, at, b, sizeof(b)) || (b[0] & QUIC_LONG_HEADER) != QUIC_LONG_HEADER)
		return 0;
	version = (__u32)b[1] << 24 | b[2] << 16 | b[3] << 8 | b[4];
	return version == QUIC_V1 || version == QUIC_V2 || version >> 8 == QUIC_DRAFTS;
}

/*
 * Counts a packet that is not TCP, if it is UDP. A later fragment of a datagram is part of the first. A global function: verified
 * once.
 */
__noinline int count_datagram(struct __sk_buff *skb, __u32 dir)
{
	struct hw_counters *c;
	struct bpf_sock *sk;
	struct iphdr ip;
	__u32 at, bytes, kind = HW_UDP_OTHER;
	__u32 *quic = NULL;

	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)))
		return 1;
	if (ip.version == 4) {
		if (ip.protocol != IPPROTO_UDP || ip.frag_off & bpf_htons(IP_OFFSET_MASK))
			return 1;
		at = ip.ihl * 4;
	} else {
		const __u32 behind = ip.version == 6 ? behind_extensions(skb) : 0;

		if (BEHIND_NEXT(behind) != IPPROTO_UDP || BEHIND_PART(behind) == BEHIND_LATER)
			return 1;
		at = BEHIND_AT(behind);
	}
	at += sizeof(struct udphdr);
	c = this_cpu(dir);
	if (!c || skb->len < at)
		return 1;
	bytes = skb->len - at;
	sk = skb->sk;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (sk) {
		quic = bpf_sk_storage_get(&quic_sockets, sk, 0, 0);
		if (!quic && begins_quic(skb, at)) {
			bpf_sk_storage_get(&quic_sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
			kind = HW_UDP_QUIC;
		}
	}
	if (quic)
		kind = HW_UDP_QUIC;
	/* What is sent in one go, and cut later (UDP_SEGMENT), is as many datagrams. */
	add(c->udp_datagrams[kind], skb->gso_segs > 1 ? skb->gso_segs : 1);
	add(c->udp_bytes[kind], bytes);
	return 1;
}

#endif
