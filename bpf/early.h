/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Segments of connections that have no socket yet: they come on the listening socket (TCP_DEFER_ACCEPT, fast open), and come
 * again and again when the accept queue is full. Each is one segment, whatever becomes of its copies: a request of which no
 * copy found room in the ring is lost once, and one of which any copy did is not lost.
 */
#ifndef HEADWATER_EARLY_H
#define HEADWATER_EARLY_H

#include "count.h"
#include "emit.h"
#include "parse.h"
#include "state.h"

static __always_inline void early_key_of(struct early_key *key, const struct hw_segment *h)
{
	key->local[0] = ((const __u64 *)h->local)[0];
	key->local[1] = ((const __u64 *)h->local)[1];
	key->remote[0] = ((const __u64 *)h->remote)[0];
	key->remote[1] = ((const __u64 *)h->remote)[1];
	key->seq = h->seq + ((h->tcp_flags & TCP_FLAG_SYN) != 0);
	key->local_port = h->local_port;
	key->remote_port = h->remote_port;
}

/* A copy of a segment on a listening socket was told, or lost. */
static __noinline int note_early(struct hw_counters *c, const struct hw_segment *h, __u32 request, __u32 lost)
{
	struct early_key key;
	struct early *known;

	early_key_of(&key, h);
	known = bpf_map_lookup_elem(&early_segments, &key);
	if (!known) {
		struct early first = { .length = h->length, .lost = lost, .request = request };

		/* Another CPU may have the next copy: one of the two is the first. */
		if (bpf_map_update_elem(&early_segments, &key, &first, BPF_NOEXIST))
			known = bpf_map_lookup_elem(&early_segments, &key);
	}
	if (!known) {
		if (request) {
			add(c->requests_seen, 1);
			if (lost)
				add(c->requests_lost, 1);
		}
	} else if (known->lost && !lost && !known->taken) {
		known->lost = 0;
		if (known->request)
			add(c->requests_lost, -1);
	}
	return 0;
}

/*
 * The connection has its socket: what came before is behind what the socket's own segments begin with. `with` bytes came with the
 * segment that opened it; 0: what was lost will come again, on the socket.
 */
static __always_inline void take_early(struct hw_counters *c, struct socket_state *s, const struct early_key *key, __u32 with)
{
	struct direction *d = &s->direction[HW_INGRESS];
	struct early *known = bpf_map_lookup_elem(&early_segments, key);
	__u32 length = with;

	if (known && !known->taken) {
		if (with) {
			if (known->lost) {
				const __u32 n = at_most(with, PIECE_BYTES);

				d->lost_bytes = n;
				d->lost_segments = 1;
				d->left_out = with - n;
			}
		} else if (!known->lost) {
			length = known->length;
		} else if (known->request) {
			add(c->requests_lost, -1);
			add(c->requests_seen, -1);
		}
		/* Its header block may not be over. */
		if (known->request && length) {
			s->guess = HW_GUESS_H1;
			s->last = HW_INGRESS + 1;
			d->head = HEAD_OPEN;
			d->bursts = d->starts = 1;
		}
		known->taken = 1;
	}
	d->next_seq += length;
}

#endif
