/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which process a socket belongs to, and its cgroup. */
#ifndef HEADWATER_OWNER_H
#define HEADWATER_OWNER_H

#include "count.h"
#include "emit.h"

/* Announcements of changed writers for one socket: a socket handed round a pool must not flood the ring. */
#define OWNER_CHANGES_MAX 8

static __always_inline void init_socket_record(struct hw_socket *r, const struct hw_segment *h, __u8 kind)
{
	__builtin_memset(r, 0, sizeof(*r));
	r->ts = h->ts;
	r->cookie = h->cookie;
	r->kind = kind;
	r->local_port = h->local_port;
	r->remote_port = h->remote_port;
	__builtin_memcpy(r->local, h->local, sizeof(r->local));
	__builtin_memcpy(r->remote, h->remote, sizeof(r->remote));
}

/* Is another process writing than the one that was announced? The usual case, no, must be cheap. */
static __always_inline int writer_changed(struct socket_state *s)
{
	if (!config.owner_by_writer)
		return 0;
	if ((__u32)(bpf_get_current_pid_tgid() >> 32) != s->owner)
		return 1;
	if (s->owner_candidate)
		s->owner_candidate = 0;
	return 0;
}

/*
 * Announces the socket's cgroup once, and the process as far as it is known. Egress mostly runs on the writer's time,
 * but a softirq may send on a stranger's: the running process is believed when it is in the socket's cgroup, a change
 * only when it is met twice in a row.
 */
static __noinline void announce(struct __sk_buff *skb, struct bpf_sock *sk, struct socket_state *s,
				const struct hw_segment *h, __u8 dir)
{
	struct creator *made = NULL;
	struct hw_socket *r;
	__u32 pid = 0;
	__u64 cgroup;

	if (config.owner_by_writer && dir == HW_EGRESS)
		pid = bpf_get_current_pid_tgid() >> 32;
	cgroup = bpf_skb_cgroup_id(skb);
	if (config.owner_by_writer) {
		if (pid && bpf_get_current_cgroup_id() != cgroup)
			pid = 0;
		if (pid && pid != s->owner && s->owner) {
			if (s->owner_candidate != pid || s->owner_changes >= OWNER_CHANGES_MAX) {
				s->owner_candidate = pid;
				pid = s->owner;
			} else {
				s->owner_changes++;
			}
		}
		if (s->announced && (!pid || pid == s->owner))
			return;
	} else {
		made = bpf_sk_storage_get(&creators, sk, 0, 0);
		if (made)
			pid = made->pid;
	}
	r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);
	if (!r) {
		struct hw_counters *c = this_cpu(dir);

		if (c)
			add(c->records_lost, 1);
		return;
	}
	init_socket_record(r, h, HW_KIND_OWNER);
	r->cgroup_id = cgroup;
	r->pid = pid;
	if (made) {
		__builtin_memcpy(r->comm, made->comm, sizeof(r->comm));
		r->evidence = HW_EVIDENCE_CREATOR;
	} else if (config.owner_by_writer && pid) {
		bpf_get_current_comm(r->comm, sizeof(r->comm));
		r->evidence = HW_EVIDENCE_WRITER;
	}
	s->announced = 1;
	s->owner = pid;
	bpf_ringbuf_submit(r, wakeup());
}

#endif
