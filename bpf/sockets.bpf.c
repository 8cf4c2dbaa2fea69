/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The life cycle of connections: opened (and by which side), closed; and who makes sockets. */
#include "count.h"
#include "early.h"
#include "emit.h"
#include "state.h"

#define TCP_CLOSE_STATE 7
#define FAMILY_INET 2
#define FAMILY_INET6 10

/* The verifier wants each field of the context read at its own fixed offset; keeps the compiler from sharing the address. */
#define read_field(field) ({ __u32 value_ = (field); barrier_var(value_); value_; })

/* Both ends' addresses; `local` and `remote` are zero. -1: of another family. */
static __always_inline int read_ends(struct bpf_sock_ops *ctx, __u32 *local, __u32 *remote)
{
	if (ctx->family == FAMILY_INET) {
		local[2] = remote[2] = bpf_htonl(0xffff);
		local[3] = read_field(ctx->local_ip4);
		remote[3] = read_field(ctx->remote_ip4);
		return 0;
	}
	if (ctx->family != FAMILY_INET6)
		return -1;
	local[0] = read_field(ctx->local_ip6[0]);
	local[1] = read_field(ctx->local_ip6[1]);
	local[2] = read_field(ctx->local_ip6[2]);
	local[3] = read_field(ctx->local_ip6[3]);
	remote[0] = read_field(ctx->remote_ip6[0]);
	remote[1] = read_field(ctx->remote_ip6[1]);
	remote[2] = read_field(ctx->remote_ip6[2]);
	remote[3] = read_field(ctx->remote_ip6[3]);
	return 0;
}

static __always_inline int describe(struct bpf_sock_ops *ctx, struct hw_socket *r, __u64 cookie, __u8 kind)
{
	__builtin_memset(r, 0, sizeof(*r));
	r->ts = bpf_ktime_get_ns();
	r->cookie = cookie;
	r->kind = kind;
	r->local_port = ctx->local_port;
	r->remote_port = bpf_ntohl(ctx->remote_port);
	return read_ends(ctx, (__u32 *)r->local, (__u32 *)r->remote);
}

static __always_inline struct hw_socket *reserve(void)
{
	struct hw_socket *r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);

	if (!r) {
		struct hw_counters *c = this_cpu(HW_EGRESS);

		if (c)
			add(c->records_lost, 1);
	}
	return r;
}

/* Payload of the segment that completed the handshake, as far as it is what comes first of the stream. */
static __always_inline __u32 opened_with(struct bpf_sock_ops *ctx)
{
	struct tcphdr *tcp = ctx->skb_data;
	void *end = ctx->skb_data_end;
	__u32 length = ctx->skb_len, header;

	if ((void *)(tcp + 1) > end)
		return 0;
	header = tcp->doff * 4;
	if (length <= header || bpf_ntohl(tcp->seq) + tcp->syn != ctx->rcv_nxt)
		return 0;
	return length - header;
}

/* The connection that a listening socket has accepted goes on where its early segments end. */
static __always_inline void join_early(struct bpf_sock_ops *ctx, struct hw_counters *c, struct socket_state *s)
{
	struct early_key key = {};

	if (read_ends(ctx, (__u32 *)key.local, (__u32 *)key.remote))
		return;
	key.seq = ctx->rcv_nxt;
	key.local_port = ctx->local_port;
	key.remote_port = bpf_ntohl(ctx->remote_port);
	take_early(c, s, &key, opened_with(ctx));
}

static __always_inline void opened(struct bpf_sock_ops *ctx, struct bpf_sock *sk, __u8 accepted)
{
	struct socket_state *s = bpf_sk_storage_get(&sockets, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	struct hw_counters *c = this_cpu(HW_EGRESS);
	struct hw_socket *r;

	/* Other programs on the cgroup may want other callbacks: add to the flags. */
	bpf_sock_ops_cb_flags_set(ctx, ctx->bpf_sock_ops_cb_flags | BPF_SOCK_OPS_STATE_CB_FLAG);
	if (!s || !c)
		return;
	if (!s->cookie)
		add(c->connections, 1);
	s->cookie = bpf_get_socket_cookie(ctx);
	s->from_start = 1;
	s->accepted = accepted;
	if (!s->direction[HW_INGRESS].known) {
		s->direction[HW_INGRESS].known = 1;
		s->direction[HW_INGRESS].next_seq = s->direction[HW_INGRESS].burst_seq = ctx->rcv_nxt;
		if (accepted)
			join_early(ctx, c, s);
	}
	if (!s->direction[HW_EGRESS].known) {
		s->direction[HW_EGRESS].known = 1;
		s->direction[HW_EGRESS].next_seq = s->direction[HW_EGRESS].burst_seq = ctx->snd_nxt;
	}
	r = reserve();
	if (!r)
		return;
	if (describe(ctx, r, s->cookie, HW_KIND_OPENED)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return;
	}
	r->accepted = accepted;
	r->reached[HW_INGRESS] = read_field(ctx->rcv_nxt);
	r->reached[HW_EGRESS] = read_field(ctx->snd_nxt);
	bpf_ringbuf_submit(r, wakeup());
}

static __always_inline int describe_end(struct bpf_sock_ops *ctx, const struct socket_state *s, struct hw_socket *r)
{
	if (describe(ctx, r, s->cookie, HW_KIND_CLOSED))
		return -1;
	r->accepted = s->accepted;
	r->reached[HW_INGRESS] = read_field(ctx->rcv_nxt);
	r->reached[HW_EGRESS] = read_field(ctx->snd_una);
	r->h2_calls = s->h2_calls;
	r->shed = (s->direction[HW_INGRESS].marks & 15) | s->direction[HW_EGRESS].marks << 4;
#pragma unroll
	for (int i = 0; i < 2; i++) {
		r->left_out[i] = s->direction[i].left_out;
		r->lost_bytes[i] = s->direction[i].lost_bytes;
		r->lost_segments[i] = s->direction[i].lost_segments;
	}
	return 0;
}

static __always_inline void closed(struct bpf_sock_ops *ctx, struct bpf_sock *sk)
{
	struct socket_state *s = bpf_sk_storage_get(&sockets, sk, 0, 0);
	struct hw_socket *r;

	if (!s)
		return;
	r = reserve();
	if (!r) {
		__u32 place = s->cookie & (HW_UNHEARD_MAX - 1);

		r = bpf_map_lookup_elem(&unheard, &place);
		if (r)
			describe_end(ctx, s, r);
		return;
	}
	if (describe_end(ctx, s, r))
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_submit(r, wakeup());
}

/*
 * A process begins to listen, and this runs in it: it serves clients that are gone before anybody has written to them. The accepted
 * sockets have the cgroup that the process is in, as a rule.
 */
static __always_inline void listens(struct bpf_sock_ops *ctx)
{
	struct hw_socket *r = reserve();

	if (!r)
		return;
	if (describe(ctx, r, bpf_get_socket_cookie(ctx), HW_KIND_LISTENS)) {
		bpf_ringbuf_discard(r, BPF_RB_NO_WAKEUP);
		return;
	}
	r->pid = bpf_get_current_pid_tgid() >> 32;
	r->cgroup_id = bpf_get_current_cgroup_id();
	bpf_get_current_comm(r->comm, sizeof(r->comm));
	bpf_ringbuf_submit(r, wakeup());
}

SEC("sockops")
int headwater_ops(struct bpf_sock_ops *ctx)
{
	struct bpf_sock *sk = ctx->sk;

	if (!sk)
		return 1;
	switch (ctx->op) {
	case BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB:
		opened(ctx, sk, 0);
		break;
	case BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB:
		opened(ctx, sk, 1);
		break;
	case BPF_SOCK_OPS_TCP_LISTEN_CB:
		if (config.owner_by_writer)
			listens(ctx);
		break;
	case BPF_SOCK_OPS_STATE_CB:
		if (ctx->args[1] == TCP_CLOSE_STATE)
			closed(ctx, sk);
		break;
	}
	return 1;
}

/* Loaded only where the writer cannot be asked. Runs in the process that makes the socket. */
SEC("cgroup/sock_create")
int headwater_make(struct bpf_sock *sk)
{
	struct creator *made;

	if (sk->type != STREAM_SOCKET)
		return 1;
	made = bpf_sk_storage_get(&creators, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (made) {
		made->pid = bpf_get_current_pid_tgid() >> 32;
		bpf_get_current_comm(made->comm, sizeof(made->comm));
	}
	return 1;
}
