/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose turn it is inside TLS, as far as the records' types, lengths and directions tell. HTTP/1 takes turns: a call is
 * what the client sends until the server answers. So calls can be counted, and left out whole, where nobody reads them.
 *
 * Not counted are the handshake's encrypted records, which look like any others in TLS 1.3, and records too short for a
 * message (alerts, key updates). One too many is counted for early data (RFC 8446 4.2.10) and for a body that waits for
 * 100 Continue; pipelined calls are one. HTTP/2 takes no turns: what is counted for it is none of its calls.
 */
#ifndef HEADWATER_TURN_H
#define HEADWATER_TURN_H

#include "pressure.h"
#include "state.h"

#define TURN_NONE 0	/* no application record yet */
#define TURN_GREETED 1	/* TLS 1.3: the server has sent its part of the handshake */
#define TURN_REPLIED 2	/* and the client something that is not its Finished alone */
#define TURN_IDLE 3	/* a call may come */
#define TURN_CALL 4	/* the client speaks */
#define TURN_ANSWER 5	/* the server speaks */

/* What comes: a record of the server's, of the client's, of the client's with the length of a Finished (RFC 8446 4.4.4). */
#define TURN_NEXT(server, client, finished) ((__u64)(server) | (client) << 3 | (finished) << 6)
#define TURN_TABLE \
	(TURN_NEXT(TURN_GREETED, TURN_CALL, TURN_CALL) | TURN_NEXT(TURN_GREETED, TURN_REPLIED, TURN_IDLE) << 9 | \
	 TURN_NEXT(TURN_IDLE, TURN_REPLIED, TURN_IDLE) << 18 | TURN_NEXT(TURN_IDLE, TURN_CALL, TURN_CALL) << 27 | \
	 TURN_NEXT(TURN_ANSWER, TURN_CALL, TURN_CALL) << 36 | TURN_NEXT(TURN_ANSWER, TURN_CALL, TURN_CALL) << 45)

/* Header, 32 or 48 bytes of hash, content type and tag. */
#define FINISHED_SHA256_BYTES 53
#define FINISHED_SHA384_BYTES 69
/* The shortest message, "GET / HTTP/1.0" and an empty line, with the shortest protection. */
#define TURN_BYTES_MIN 32

/*
 * Takes an application record of `length` bytes, `at` so many bytes of payload, into account: says in the plan when a
 * turn begins with it, and decides with a call's first record whether the call is left out.
 */
static __always_inline void take_turn(struct socket_state *s, struct direction *d, __u32 dir, __u32 length, __u32 at)
{
	const __u32 client = (dir & 1) != s->accepted;
	const __u32 finished = client & ((length == FINISHED_SHA256_BYTES) | (length == FINISHED_SHA384_BYTES));
	const __u32 before = s->turn & 7, after = TURN_TABLE >> (before * 9 + (client + finished) * 3) & 7;

	if (length < TURN_BYTES_MIN || after == before)
		return;
	s->turn = after;
	if (after < TURN_CALL)
		return;
	d->plan.turn = after;
	d->plan.turn_at = at;
	if (after == TURN_ANSWER)
		return;
	s->calls++;
	if (!s->offers_h2)
		s->shed_call = d->plan.level >= PRESSURE_HEAD && sheds_call(s, s->calls, d->plan.level);
}

/*
 * HTTP/2 may be what is inside. Its calls share compression tables, so whole connections are left out, for as long as
 * the pressure asks for it.
 */
static __always_inline void shed_connection(struct socket_state *s, __u32 level)
{
	if (s->offers_h2)
		s->shed_call = s->turn >= TURN_CALL && level >= PRESSURE_HEAD && sheds_call(s, 0, level);
}

#endif
