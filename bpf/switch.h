/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a server says right behind a 101: see follow_switch. */
#ifndef HEADWATER_SWITCH_H
#define HEADWATER_SWITCH_H

#include "heads.h"
#include "load.h"
#include "look.h"
#include "record.h"

/* " 101", behind "HTTP/1.1" (RFC 9110 15.2.2). */
#define SWITCHING bpf_htonl(' ' << 24 | '1' << 16 | '0' << 8 | '1')

/* May it be a response with that status? Without branches: the verifier would walk each through all that follows. */
static __always_inline int may_switch(const struct direction *d)
{
	return d->plan.begins & (!d->plan.copied | (d->plan.ends_seen.next == SWITCHING));
}

/*
 * Behind a 101 the server may speak HTTP/2 at once (RFC 7540 3.2), and answer before the client has said a word of it: it begins with
 * a SETTINGS frame, here or in the burst's next segment. A global function: hardly any segment comes here.
 */
__noinline int follow_switch(struct __sk_buff *skb, __u32 dir, __u32 seq, __u32 offset, __u32 length)
{
	struct socket_state *s;
	struct direction *d;
	__u32 status, end;
	__u64 w;

	if (bpf_skb_load_bytes(skb, offset + 8, &status, 4) || status != SWITCHING)
		return 0;
	s = state_of(skb);
	if (!s)
		return 0;
	d = direction_of(s, dir);
	end = HEADS_END(find_heads(skb, offset, length, TAIL_NONE));
	d->switched = end == length;
	if (!end || end + 8 > length || bpf_skb_load_bytes(skb, offset + end, &w, 8) || look_at_word(w) != LOOK_SETTINGS)
		return 0;
	s->guess = HW_GUESS_H2;
	s->followed = 1;
	s->h2_stream = 1;
	follow_frames(d, FRAME_H2, seq);
	/* The head goes with them. */
	d->frame_keep = end;
	return 0;
}

#endif
