/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the programs remember of a connection. User space never sees this. */
#ifndef HEADWATER_STATE_H
#define HEADWATER_STATE_H

#include <linux/types.h>

/* A method token (32), the space and the target's first character after it, and a few bytes of an empty line before. */
#define FIRST_BYTES 40
/* Bytes of a header field line that a segment's end cuts: a Content-Length, with all digits that are read. */
#define LINE_CUT_BYTES 32

/* The header block of the current burst. */
enum head {
	HEAD_NONE = 0,	/* the burst did not begin with a message start: nothing to wait for */
	HEAD_OPEN = 1,	/* its end was not seen yet */
	HEAD_ENDED = 2,
};

/* First twelve and last four bytes of a payload that was copied. */
struct ends {
	__u64 first;
	__u32 next;
	__u32 last;
};

/* Of a packet told in several records: what each of them says. */
struct packet_head {
	__u64 local[2];
	__u64 remote[2];
	__u32 seq;		/* of the packet: a SYN counts */
	__u32 ack;
	__u16 local_port;
	__u16 remote_port;
	__u8 tcp_flags;
	__u8 reserved[3];
};

/*
 * What is to be done with the segment at hand. Lies in the socket's state and not on the stack because the verifier
 * then takes every value for unknown, and need not walk each combination of decisions to the end of the program.
 */
struct plan {
	struct ends ends_seen;
	__u64 ts;		/* of a packet told in several records */
	__u32 want;		/* bytes that the window lets through, from the segment's first */
	__u32 have;		/* bytes that pressure leaves of these */
	__u32 head_end;		/* where its last header block ends; 0: not in it or not known */
	__u32 fresh;		/* bytes not seen before */
	__u32 seq;		/* of its first payload byte */
	__u32 offset;		/* of the payload in the packet */
	__u32 length;
	/* Of a packet told in several records; volatile, or the compiler would keep them in registers. */
	volatile __u32 start;	/* where the next record begins */
	volatile __u32 pending;	/* bytes it carries */
	volatile __u32 told_to;	/* up to where the payload was told */
	volatile __u32 handed;	/* bytes below `have` that were copied */
	volatile __u32 extra;	/* bytes beyond `have` that framing asked for and that were copied */
	volatile __u32 extra_lost;	/* the same, for which the ring had no room */
	__u32 extra_shed;	/* the same, left out under pressure */
	__u32 level;		/* PRESSURE_* */
	__u32 turn_at;		/* offset of the TLS record that begins a turn */
	__u32 units;		/* TLS records whose headers are in what waits to be told */
	__u32 gone;		/* TLS records left out or lost */
	__u8 look;		/* enum look, of what its first byte begins or completes */
	__u8 begins;		/* a message starts at its first byte */
	__u8 burst;		/* it begins a burst */
	__u8 in_order;		/* it continues what was seen */
	__u8 rest;		/* enum hw_class of bytes that are not wanted */
	__u8 shed;		/* enum hw_class of bytes wanted and not had */
	__u8 head_before;	/* enum head, before this segment's bytes */
	__u8 sliced;		/* framing lies in it, beyond `have` */
	volatile __u8 failed;	/* the ring had no room for one of its records: the rest goes with it */
	__u8 ends;		/* ENDS_*, see handover.h */
	__u8 silent;		/* the ring is so full that only bytes are worth a record */
	__u8 advances;		/* it moves next_seq on: 0 or 1 */
	__u8 walked;		/* WALK_*, see walk.h */
	__u8 gathered;		/* bytes of its burst looked at before it */
	__u8 copied;		/* it is in the ring already: ends_seen is what was copied */
	__u8 turn;		/* TURN_CALL or TURN_ANSWER begins in it; 0: neither */
	__u8 hushed;		/* the record read last is left out, with its header */
	__u8 fills;		/* it fills a hole: bytes after it were seen before */
	__u8 late;		/* and with it a burst begins */
	__u8 astray;		/* where its TLS records begin is not known, and may be found in it */
	__u8 again;		/* every byte of it was seen before: 0 or 1 */
};

/* Bytes that were overtaken: the first one's number, and how many; 0: none. */
struct hole {
	__u32 from;
	__u32 size;
};

/* So many holes of one direction are kept apart. */
#define HOLES_KEPT 8

/*
 * One direction of a connection, written only by that direction's program: egress under the socket's lock, ingress by
 * the softirq that the flow is steered to, or, where several CPUs have its segments, by one of these at a time (turnstile.h).
 * Sums that must be exact are atomic all the same: a segment whose CPU would have had to wait too long adds to them.
 */
struct direction {
	__u64 left_out;		/* bytes since the last record; atomic */
	__u64 lost_bytes;	/* the same; atomic */
	__u32 lost_segments;	/* the same; atomic */
	__u32 next_seq;		/* after the highest byte seen */
	__u32 burst_seq;	/* where the window begins */
	__u32 holes;		/* bytes below next_seq that were not seen: they are still to come, out of order */
	__u32 hidden;		/* of these, bytes in holes that are not kept apart */
	struct hole hole[HOLES_KEPT];
	__u32 streamed;		/* bytes of this burst copied beyond the window: small segments, records, DATA frames */
	__u32 unreported;	/* bytes left out since the last record; loses its precision in races, decides only when to report */
	__u32 frame_seq;	/* next byte that must be copied: of framing, or `frame_keep` bytes after it */
	__u32 frame_size;	/* of a chunk: digits read so far; of a header block, and of the body behind it: Content-Length */
	__u32 frame_keep;	/* of a record or frame: bytes from frame_seq on that are copied ... */
	__u32 frame_skip;	/* ... and bytes after these up to the next header */
	__u32 bursts;
	__u32 untold;		/* TLS records since the last one told that lie wholly in bytes left out or lost; UNTOLD_UNKNOWN and more: not known */
	__u32 turns;		/* turns that began in such bytes and were not told */
	__u32 inside;		/* CPUs that handle a segment of this direction, or ask to; atomic */
	__u32 passed_seq;	/* while bytes before it are still to come: bytes from here on were seen already, ... */
	__u32 passed;		/* ... so many */
	__u8 known;		/* next_seq is valid */
	__u8 head;		/* enum head */
	__u8 tail;		/* how much of an empty line the last bytes scanned were: see scan.h */
	__u8 frame;		/* what is read at frame_seq: CHUNK_*, see chunk.h, or FRAME_*, see record.h */
	__u8 frame_have;	/* bytes of a record's or frame's header read so far, in `first` */
	__u8 frame_hushed;	/* these were not told */
	__u8 frame_shed;	/* pressure took some of what it skips */
	__u8 marks;		/* HW_MARK_SHED_* since the last record */
	__u8 foreign;		/* a burst began, and not like HTTP; or bytes that were followed had no header where one must be */
	__u8 starts;		/* message starts in this burst: 0, 1, 2 or more */
	__u8 answers;		/* its last message start was a response's */
	__u8 fields;		/* LENGTH_*, see chunk.h */
	__u8 line_have;		/* bytes of a header field line, in `line` */
	__u8 trusted;		/* the last message that began with a part of its body went on in no further segment */
	__u8 switched;		/* this burst began with a 101, and ended with it so far */
	__u8 first_length;
	__u8 first[2 * FIRST_BYTES];	/* first bytes of a burst, or of a header, while they are too few to decide */
	__u64 line[2 * LINE_CUT_BYTES / 8];	/* what a segment's end cut off of a line that may say a length: see length.h */
	struct plan plan;
	struct packet_head in_pieces;	/* not in the plan, which is cleared for each packet */
};

struct socket_state {
	struct direction direction[2];
	__u64 cookie;
	__u32 calls;		/* bursts that began with a request, or turns in TLS: names the call that shedding decides on */
	__u32 h2_calls;		/* HTTP/2 in cleartext: calls that began ... */
	__u32 h2_stream;	/* ... the last one on this stream; by Upgrade that on the first is one of HTTP/1 (RFC 7540 3.2), and counted */
	__u32 owner;		/* pid that was announced */
	__u32 owner_candidate;	/* another pid was seen once */
	__u8 owner_changes;
	__u8 announced;		/* the cgroup was announced */
	__u8 guess;		/* enum hw_guess */
	__u8 from_start;	/* the opening was seen */
	__u8 accepted;
	__u8 last;		/* direction of the last burst + 1; 0: nothing seen */
	__u8 shed_call;		/* the current call's header blocks are left out; in TLS all of it */
	__u8 turn;		/* TURN_*, see turn.h */
	__u8 offers_h2;		/* the TLS client would speak HTTP/2, or may: see hello.h */
	__u8 pipelined;		/* a request began behind another one that was not answered yet */
	__u8 followed;		/* TLS or HTTP/2 whose first record or frame was seen: see record.h */
};

/* A segment that came before its connection had a socket, ... */
struct early_key {
	__u64 local[2];
	__u64 remote[2];
	__u32 seq;		/* of its first byte */
	__u16 local_port;
	__u16 remote_port;
};

/* ... and what became of it. */
struct early {
	__u32 length;
	__u8 lost;		/* the ring never had room for it */
	__u8 request;		/* it begins like a request */
	__u8 taken;		/* the connection has its socket, and goes on from here: copies that are still on their way count nothing */
	__u8 reserved;
};

/* Kept from socket creation on, inherited by accepted sockets. */
struct creator {
	__u32 pid;
	char comm[16];
};

#endif
