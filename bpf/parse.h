/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From an IP packet to the header fields of a record. cgroup_skb sees packets from the network header on; reassembled
 * on the way in, not yet fragmented on the way out. Headers are nearly always in the linear part and are read there;
 * everything unusual (IPv4 options, IPv6 extension headers, non-linear headers) takes bpf_skb_load_bytes.
 */
#ifndef HEADWATER_PARSE_H
#define HEADWATER_PARSE_H

#include <linux/bpf.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"

/* Hop-by-hop, routing, destination options twice, authentication: more in one packet is no TCP that Linux accepts. */
#define EXTENSION_HEADERS_MAX 6
#define IP_OFFSET_MASK 0x1fff
#define IP_MORE_FRAGMENTS 0x2000

#define TCP_FLAG_FIN 0x01
#define TCP_FLAG_SYN 0x02
#define TCP_FLAG_RST 0x04
#define TCP_FLAG_PSH 0x08

enum parsed {
	PARSED_TCP,
	PARSED_FRAGMENT,
	PARSED_NOT_TCP,
};

struct packet {
	__u32 payload;	/* offset of the TCP payload */
	__u32 length;	/* its length */
};

/* The third word of ::ffff:a.b.c.d. */
#define MAPPED ((__u64)bpf_htonl(0xffff))

static __always_inline void copy_addresses4(struct hw_segment *h, __be32 source, __be32 destination, __u8 direction)
{
	__u64 *local = (__u64 *)h->local, *remote = (__u64 *)h->remote;
	const __u64 from = MAPPED | (__u64)source << 32, to = MAPPED | (__u64)destination << 32;

	local[0] = remote[0] = 0;
	local[1] = direction == HW_EGRESS ? from : to;
	remote[1] = direction == HW_EGRESS ? to : from;
}

static __always_inline void copy_addresses6(struct hw_segment *h, const __u64 *source, const __u64 *destination,
					     __u8 direction)
{
	__u64 *local = (__u64 *)h->local, *remote = (__u64 *)h->remote;

	local[0] = direction == HW_EGRESS ? source[0] : destination[0];
	local[1] = direction == HW_EGRESS ? source[1] : destination[1];
	remote[0] = direction == HW_EGRESS ? destination[0] : source[0];
	remote[1] = direction == HW_EGRESS ? destination[1] : source[1];
}

static __always_inline int take_tcp(struct __sk_buff *skb, const struct tcphdr *tcp, __u32 at, __u8 direction,
				    struct hw_segment *h, struct packet *p)
{
	__u32 header = tcp->doff * 4;

	h->seq = bpf_ntohl(tcp->seq);
	h->ack = bpf_ntohl(tcp->ack_seq);
	h->tcp_flags = ((const __u8 *)tcp)[13];
	h->local_port = bpf_ntohs(direction == HW_EGRESS ? tcp->source : tcp->dest);
	h->remote_port = bpf_ntohs(direction == HW_EGRESS ? tcp->dest : tcp->source);
	p->payload = at + header;
	if (header < sizeof(struct tcphdr) || p->payload > skb->len)
		return PARSED_NOT_TCP;
	p->length = skb->len - p->payload;
	return PARSED_TCP;
}

/* What behind_extensions says: where the transport header begins, of which protocol, of which part of the packet. */
#define BEHIND_AT(r) ((__u32)(r) & 0xffff)
#define BEHIND_NEXT(r) ((__u32)(r) >> 16 & 0xff)
#define BEHIND_WHOLE 0
#define BEHIND_FIRST 1	/* of a fragment that begins with it */
#define BEHIND_LATER 2	/* of one in which it is not */
#define BEHIND_PART(r) ((__u32)(r) >> 24)

/*
 * The transport header of an IPv6 packet, behind its extension headers (RFC 8200 4); 0: there is none that is known. A global
 * function: verified once.
 */
__noinline __u32 behind_extensions(struct __sk_buff *skb)
{
	struct { __u8 next, length; __be16 rest; } extension;
	__u32 at = sizeof(struct ipv6hdr), part = BEHIND_WHOLE;
	__u8 next;

	if (bpf_skb_load_bytes(skb, __builtin_offsetof(struct ipv6hdr, nexthdr), &next, 1))
		return 0;
	for (int i = 0; i <= EXTENSION_HEADERS_MAX; i++) {
		if (next == IPPROTO_TCP || next == IPPROTO_UDP || part == BEHIND_LATER)
			return at | next << 16 | part << 24;
		if (bpf_skb_load_bytes(skb, at, &extension, sizeof(extension)))
			return 0;
		if (next == IPPROTO_FRAGMENT) {
			/* An atomic fragment (RFC 6946) has neither an offset nor more to come: it is whole. */
			if (extension.rest & bpf_htons(0xfff9))
				part = extension.rest & bpf_htons(0xfff8) ? BEHIND_LATER : BEHIND_FIRST;
			at += 8;
		} else if (next == IPPROTO_AH) {
			at += (extension.length + 2) * 4;
		} else if (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS) {
			at += (extension.length + 1) * 8;
		} else {
			return 0;
		}
		next = extension.next;
	}
	return 0;
}

/* Any shape of header, by copies. */
static __noinline int parse_slowly(struct __sk_buff *skb, __u8 direction, struct hw_segment *h, struct packet *p)
{
	/* One at a time, to keep the stack small. */
	union {
		struct iphdr ip;
		struct ipv6hdr ip6;
		struct tcphdr tcp;
	} u;
	__u8 version;
	__u32 at;

	if (bpf_skb_load_bytes(skb, 0, &version, 1))
		return PARSED_NOT_TCP;
	if (version >> 4 == 4) {
		if (bpf_skb_load_bytes(skb, 0, &u.ip, sizeof(u.ip)) || u.ip.ihl < 5 || u.ip.protocol != IPPROTO_TCP)
			return PARSED_NOT_TCP;
		at = u.ip.ihl * 4;
		p->payload = at;
		if (u.ip.frag_off & bpf_htons(IP_OFFSET_MASK | IP_MORE_FRAGMENTS))
			return PARSED_FRAGMENT;
		copy_addresses4(h, u.ip.saddr, u.ip.daddr, direction);
	} else {
		__u32 behind;

		if (bpf_skb_load_bytes(skb, 0, &u.ip6, sizeof(u.ip6)) || u.ip6.version != 6)
			return PARSED_NOT_TCP;
		copy_addresses6(h, (const __u64 *)&u.ip6.saddr, (const __u64 *)&u.ip6.daddr, direction);
		behind = behind_extensions(skb);
		if (BEHIND_NEXT(behind) != IPPROTO_TCP)
			return PARSED_NOT_TCP;
		at = p->payload = BEHIND_AT(behind);
		if (BEHIND_PART(behind) != BEHIND_WHOLE)
			return PARSED_FRAGMENT;
	}
	if (bpf_skb_load_bytes(skb, at, &u.tcp, sizeof(u.tcp)))
		return PARSED_NOT_TCP;
	return take_tcp(skb, &u.tcp, at, direction, h, p);
}

static __always_inline int parse(struct __sk_buff *skb, __u8 direction, struct hw_segment *h, struct packet *p)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	struct iphdr *ip = data;

	if (data + sizeof(*ip) + sizeof(struct tcphdr) > end)
		return parse_slowly(skb, direction, h, p);
	if (*(__u8 *)data == 0x45) {
		if (ip->protocol != IPPROTO_TCP)
			return PARSED_NOT_TCP;
		if (ip->frag_off & bpf_htons(IP_OFFSET_MASK | IP_MORE_FRAGMENTS))
			return parse_slowly(skb, direction, h, p);
		copy_addresses4(h, ip->saddr, ip->daddr, direction);
		return take_tcp(skb, data + sizeof(*ip), sizeof(*ip), direction, h, p);
	}
	if (*(__u8 *)data >> 4 == 6 && data + sizeof(struct ipv6hdr) + sizeof(struct tcphdr) <= end) {
		struct ipv6hdr *ip6 = data;

		if (ip6->nexthdr == IPPROTO_TCP) {
			/* Two 8-byte words each; packets are aligned well enough for every machine that JITs them. */
			copy_addresses6(h, (const __u64 *)&ip6->saddr, (const __u64 *)&ip6->daddr, direction);
			return take_tcp(skb, data + sizeof(*ip6), sizeof(*ip6), direction, h, p);
		}
	}
	return parse_slowly(skb, direction, h, p);
}

#endif
