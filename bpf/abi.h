/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the kernel side and user space agree on. tools/bpf/abi.ts turns the layouts below, as the compiler laid them
 * out (BTF), into src/kernel/abi.ts; CI fails when the two differ. Times are CLOCK_MONOTONIC nanoseconds, lengths are
 * bytes, ports and sequence numbers are in host order, addresses are 16 bytes in network order with IPv4 as
 * ::ffff:a.b.c.d.
 */
#ifndef HEADWATER_ABI_H
#define HEADWATER_ABI_H

#include <linux/types.h>

/* First byte after the common prefix (ts, cookie) of every ring record. */
enum hw_kind {
	HW_KIND_SEGMENT = 1,
	HW_KIND_OPENED = 2,
	HW_KIND_CLOSED = 3,
	HW_KIND_OWNER = 4,
	HW_KIND_LISTENS = 5,	/* where the process may be asked: it begins to listen */
};

enum hw_direction {
	HW_INGRESS = 0,
	HW_EGRESS = 1,
};

/* What a connection seems to speak. */
enum hw_guess {
	HW_GUESS_UNKNOWN = 0,
	HW_GUESS_H1 = 1,
	HW_GUESS_TLS = 2,
	HW_GUESS_H2 = 3,
	HW_GUESS_OTHER = 4,
};

/* Remarks on a segment record; they hold since the direction's last record. */
enum hw_mark {
	HW_MARK_SHED_BODY = 1,	/* body bytes were left out under pressure */
	HW_MARK_SHED_HEAD = 2,	/* header bytes were left out under pressure */
	HW_MARK_PART = 4,	/* this record is not the first of its packet */
	HW_MARK_LISTENER = 8,	/* seen on a listening socket: cookie is 0 */
	HW_MARK_TURN = 16,	/* its first byte is the first since the other direction spoke */
	HW_MARK_AGAIN = 32,	/* sent again: each byte was told before, or is in sums that a record to come tells */
};

/* How the owner was found. */
enum hw_evidence {
	HW_EVIDENCE_CGROUP = 0,	/* only the cgroup is known */
	HW_EVIDENCE_WRITER = 1,	/* the process was writing to the socket */
	HW_EVIDENCE_CREATOR = 2,	/* the process made the socket, or the listening socket it was accepted from */
};

/*
 * One range of one direction of a connection: `length` bytes from `seq` on the wire, the first `captured` of which
 * follow the header. Ranges of one packet never overlap; a packet may be told in several.
 */
struct hw_segment {
	__u64 ts;
	__u64 cookie;
	__u8 kind;
	__u8 direction;
	__u8 tcp_flags;
	__u8 guess;
	__u8 marks;
	__u8 reserved;
	__u16 records;		/* TLS records that lie wholly in what was left out or lost before this range, which begins one; 0: not known, or none */
	__u16 local_port;
	__u16 remote_port;
	__u32 length;
	__u32 captured;
	__u32 seq;
	__u32 ack;
	/*
	 * What follows is told before it is taken off, so two CPUs with segments of one direction may tell the same twice.
	 * The sums are below zero then, and the next record tells that: signed, all together are exact.
	 */
	__s16 lost_segments;	/* of this direction, since its last record, because the ring was full; of more the lowest 16 bits */
	__s16 turns;		/* of this direction, since its last record: calls (from the server: answers) in TLS that began in what was left out or lost */
	__s64 left_out;		/* bytes of this direction since its last record's range that were left out on purpose */
	__s64 lost_bytes;	/* the same, because the ring was full */
	__u8 local[16];
	__u8 remote[16];
	__u8 payload[];
};

/* Something about a socket apart from its bytes. Index of the pairs: enum hw_direction. */
struct hw_socket {
	__u64 ts;
	__u64 cookie;
	__u8 kind;
	__u8 accepted;		/* opened: the local end is the server */
	__u8 evidence;
	__u8 shed;		/* closed: HW_MARK_SHED_* of left_out, ingress in the low half and egress in the high one */
	__u32 pid;		/* thread group; 0 when not known */
	__u16 local_port;
	__u16 remote_port;
	__s32 lost_segments[2];
	__u32 reached[2];	/* TCP's own count: opened, where each direction begins; closed, what came in (rcv_nxt) and what the peer acknowledged (snd_una) */
	__u32 h2_calls;		/* closed: calls that began on HTTP/2 in cleartext, by the header blocks of its streams, read or lost */
	__u64 cgroup_id;
	__u8 comm[16];
	__u8 local[16];
	__u8 remote[16];
	__s64 left_out[2];
	__s64 lost_bytes[2];
};

/* Closings that found no room in the ring, in an array of so many (a power of two), each at its cookie modulo this. */
enum hw_unheard {
	HW_UNHEARD_MAX = 4096,
};

/* Where a segment, and each of its bytes, went: exactly one of these. */
enum hw_class {
	HW_CLASS_COPIED = 0,
	HW_CLASS_WINDOW = 1,		/* HTTP/1, beyond the capture window */
	HW_CLASS_SHED_BODY = 2,
	HW_CLASS_SHED_HEAD = 3,
	HW_CLASS_TLS = 4,
	HW_CLASS_H2 = 5,
	HW_CLASS_OTHER = 6,
	HW_CLASS_UNKNOWN = 7,		/* of a connection older than the agent: before its first message start, or TLS */
	HW_CLASS_RING_FULL = 8,
	HW_CLASS_NO_SOCKET = 9,		/* request and timewait sockets, or no memory for the socket's state */
	HW_CLASS_FRAGMENT = 10,
	HW_CLASSES = 11,
};

/* What UDP carries. Nothing of it is read. */
enum hw_udp {
	HW_UDP_OTHER = 0,
	HW_UDP_QUIC = 1,
	HW_UDP_KINDS = 2,
};

/* Two for each possible CPU, in the order of enum hw_direction, exact: seen equals the sum over the classes, for segments and for bytes. */
struct hw_counters {
	__u64 seen_segments;		/* TCP segments with payload, and IP fragments */
	__u64 seen_bytes;
	__u64 segments[HW_CLASSES];
	__u64 bytes[HW_CLASSES];
	__u64 requests_seen;		/* segments that begin like a request */
	__u64 requests_lost;		/* of these: shed or ring full */
	__u64 responses_seen;
	__u64 responses_lost;
	__u64 records_lost;		/* ring records of every kind that found no room */
	__u64 turns_lost[2];		/* in TLS, shed or ring full: turns of the client (calls, if it is HTTP/1), and of the server (answers) */
	__u64 tls_records_lost;		/* TLS records that were shed or found no room */
	__u64 calm;			/* no count: segments for which the ring is not asked how full it is, because it was not half full */
	__u64 connections;		/* sockets of connections, each when it is met first: opened, or with a packet if it is older */
	__u64 udp_datagrams[HW_UDP_KINDS];
	__u64 udp_bytes[HW_UDP_KINDS];	/* payload */
} __attribute__((aligned(64)));

/* What need not be copied of TLS, in an array of so many (a power of two), each at twice its cookie plus enum hw_direction modulo this. */
enum hw_spares {
	HW_SPARES_MAX = 8192,
};

/* What the reader does, and what it wants to be woken for. */
enum hw_reader {
	HW_READER_LOOKS = 0,		/* nothing */
	HW_READER_SLEEPS = 1,		/* any record */
	HW_READER_WAITS = 2,		/* it looks after a while by itself: a ring that fills up sooner than it thought */
};

/* Written by the reader, read by the programs, which make of one that waits one that looks when they have woken it. */
struct hw_control {
	__u32 reader;			/* enum hw_reader */
	__u32 reserved[15];		/* the rest is written far more rarely */
	/*
	 * Up to which sequence number (low half) nobody needs more than the headers of a direction's records, on the socket with
	 * this cookie (high half: its low 32 bits). Of two that share a place the later one stays; the other is copied whole.
	 */
	__u64 spares[HW_SPARES_MAX];
} __attribute__((aligned(64)));

/* Set before loading. */
struct hw_config {
	__u32 window;			/* bytes of a burst that are copied */
	__u32 head_budget;		/* bytes of a burst that are copied while its header block has not ended */
	__u32 small_segment;		/* segments up to this length are copied beyond the window ... */
	__u32 stream_budget;		/* ... up to this many bytes of a burst */
	__u32 report_every;		/* a record at least every so many bytes left out */
	__u32 ring_bytes;
	__u32 owner_by_writer;		/* bpf_get_current_pid_tgid may be called in cgroup_skb */
	__u32 softirqs_mix;		/* PREEMPT_RT: several softirqs may be under way on one CPU */
};

#endif
