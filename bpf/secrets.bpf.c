/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * TLS secrets, taken where a library derives or would log them: once a handshake, never for a record. An object of its
 * own, because it needs CAP_PERFMON and a machine without uprobes must still capture packets.
 *
 * Every program is attached by the file's inode, so it runs in every process that maps the file: the first thing it does
 * is to ask for the cgroup, and a process outside the scope is left without a byte having been read. Entry only: a return
 * probe would cost a second trap and breaks Go's stacks.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "secrets.h"

const volatile struct hw_secrets_config config = {};

/* Secrets, read by the pipeline. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 20);
} secrets SEC(".maps");

/* Processes to look at, read by the attacher. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10);
} births SEC(".maps");

/* Descriptors of the observed cgroups. */
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u32);
} scope SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_tap_counters);
} taps SEC(".maps");

#define SCOPE_MAX 64

/* Registers as a uprobe program sees them (struct pt_regs, struct user_pt_regs), and C's arguments in them. */
#if defined(__TARGET_ARCH_x86)
struct registers {
	__u64 r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, orig_rax, rip, cs, eflags, rsp;
};
#define ARG1(r) ((r)->rdi)
#define ARG2(r) ((r)->rsi)
#define ARG3(r) ((r)->rdx)
#define ARG4(r) ((r)->rcx)
#define ARG5(r) ((r)->r8)
#define ARG6(r) ((r)->r9)
#elif defined(__TARGET_ARCH_arm64)
struct registers {
	__u64 x[31], sp;
};
#define ARG1(r) ((r)->x[0])
#define ARG2(r) ((r)->x[1])
#define ARG3(r) ((r)->x[2])
#define ARG4(r) ((r)->x[3])
#define ARG5(r) ((r)->x[4])
#define ARG6(r) ((r)->x[5])
#else
#error "registers of this machine are not known"
#endif

static __always_inline struct hw_tap_counters *tap_counters(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&taps, &zero);
}

static __noinline int observed(void)
{
	if (config.cgroups == 0)
		return 1;
	for (__u32 i = 0; i < SCOPE_MAX; i++) {
		if (i >= config.cgroups)
			return 0;
		if (bpf_current_task_under_cgroup(&scope, i) == 1)
			return 1;
	}
	return 0;
}

/* What a tap begins with: its counters when the process is observed, and NULL when nothing of it may be read. */
static __always_inline struct hw_tap_counters *entered(void)
{
	struct hw_tap_counters *counters = observed() ? tap_counters() : NULL;

	if (counters)
		__sync_fetch_and_add(&counters->entered, 1);
	return counters;
}

static __always_inline __u8 copy(__u8 *to, __u32 room, __u64 from, __u64 length)
{
	__u64 less = length - 1;

	/* The compiler must not see through the comparison: Linux 5.10's verifier wants 1 <= size <= room from it. */
	barrier_var(less);
	if (less >= room)
		return 0;
	return bpf_probe_read_user(to, less + 1, (const void *)from) == 0 ? less + 1 : 0;
}

static __always_inline struct hw_secret *start_secret(struct hw_tap_counters *counters, int tap)
{
	struct hw_secret *out = bpf_ringbuf_reserve(&secrets, sizeof(*out), 0);

	if (!out) {
		__sync_fetch_and_add(&counters->ring_full, 1);
		return 0;
	}
	__builtin_memset(out, 0, sizeof(*out));
	out->tap = tap;
	out->ts = bpf_ktime_get_ns();
	out->cgroup_id = bpf_get_current_cgroup_id();
	out->pid = bpf_get_current_pid_tgid() >> 32;
	return out;
}

static __always_inline int finish_secret(struct hw_tap_counters *counters, struct hw_secret *out, int whole)
{
	if (!whole) {
		__sync_fetch_and_add(&counters->unreadable, 1);
		bpf_ringbuf_discard(out, BPF_RB_NO_WAKEUP);
		return 0;
	}
	/* Nobody is woken: who reads packets reads secrets first, and without packets nobody needs them. */
	bpf_ringbuf_submit(out, BPF_RB_NO_WAKEUP);
	__sync_fetch_and_add(&counters->emitted, 1);
	return 0;
}

/*
 * Labels as two words, as they lie in memory: those that name traffic secrets (RFC 8446 7.1) and the one that names TLS 1.2's
 * key block (RFC 5246 6.3).
 */
#define LABEL_C_HS 0x6172742073682063ULL	/* "c hs tra" */
#define LABEL_S_HS 0x6172742073682073ULL
#define LABEL_C_AP 0x6172742070612063ULL
#define LABEL_S_AP 0x6172742070612073ULL
#define LABEL_FFIC 0x63696666ULL		/* "ffic" */
#define LABEL_C_E 0x6661727420652063ULL		/* "c e traf" */
#define LABEL_FIC 0x636966ULL			/* "fic" */
#define LABEL_KEY_EXPA 0x617078652079656bULL	/* "key expa" */
#define LABEL_NSION 0x6e6f69736eULL		/* "nsion" */

/* What is derived under a label, as a tap; 0: nothing that is of use here. */
static __always_inline int derived(const __u64 label[2])
{
	if (label[0] == LABEL_KEY_EXPA)
		return label[1] == LABEL_NSION ? HW_TAP_KEY_EXPANSION : 0;
	if (label[0] == LABEL_C_E)
		return label[1] == LABEL_FIC ? HW_TAP_EXPAND_LABEL : 0;
	if (label[0] == LABEL_C_HS || label[0] == LABEL_S_HS || label[0] == LABEL_C_AP || label[0] == LABEL_S_AP)
		return label[1] == LABEL_FFIC ? HW_TAP_EXPAND_LABEL : 0;
	return 0;
}

/* --- OpenSSL 3 ------------------------------------------------------------------------------------------------- */

/* OSSL_PARAM, openssl/core.h. */
struct param {
	__u64 key;
	__u32 type;
	__u32 unused;
	__u64 data;
	__u64 size;
	__u64 returned;
};

#define PARAMS_MAX 12

/* The first eight bytes of a parameter's name, as they lie in memory. */
#define NAME_LABEL 0x6c6562616cULL		/* "label" */
#define NAME_KEY 0x79656bULL			/* "key" */
#define NAME_DATA 0x61746164ULL			/* "data" */
#define NAME_SEED 0x64656573ULL			/* "seed" */
#define NAME_SECRET 0x746572636573ULL		/* "secret" */

/* One parameter and its name; 0 at the end of the list, or where it cannot be read. */
static __always_inline int read_param(__u64 at, struct param *param, __u64 *name)
{
	if (bpf_probe_read_user(param, sizeof(*param), (const void *)at) || param->key == 0)
		return 0;
	*name = 0;
	/* A name may end at the end of a page: what is there up to the NUL. */
	bpf_probe_read_user_str(name, sizeof(*name), (const void *)param->key);
	return 1;
}

/* Which of the derivations this is; most are of no use. Nothing is reserved before that is known. */
static __noinline int kdf_tap(__u64 at)
{
	for (int i = 0; i < PARAMS_MAX; i++) {
		struct param param;
		__u64 label[2] = {};
		__u64 name;

		if (!read_param(at + i * sizeof(param), &param, &name))
			return 0;
		if (name != NAME_LABEL && name != NAME_SEED)
			continue;
		if (copy((__u8 *)label, sizeof(label), param.data, param.size) == 0)
			return 0;
		/* Of TLS 1.2 "key expansion", server random and client random are a seed each. */
		return derived(label);
	}
	return 0;
}

SEC("uprobe")
int headwater_kdf(struct registers *ctx)
{
	struct hw_tap_counters *counters = entered();
	struct hw_secret *out;
	__u64 at = ARG4(ctx);
	__u32 seeds = 0;
	int tap;

	if (!counters)
		return 0;
	tap = kdf_tap(at);
	if (tap == 0)
		return 0;
	out = start_secret(counters, tap);
	if (!out)
		return 0;
	for (int i = 0; i < PARAMS_MAX; i++) {
		struct param param;
		__u64 name;

		if (!read_param(at + i * sizeof(param), &param, &name))
			break;
		if (name == NAME_LABEL) {
			out->label_length = copy(out->label, sizeof(out->label), param.data, param.size);
		} else if (name == NAME_KEY || name == NAME_SECRET) {
			out->secret_length = copy(out->secret, sizeof(out->secret), param.data, param.size);
		} else if (name == NAME_DATA) {
			out->context_length = copy(out->context, sizeof(out->context), param.data, param.size);
		} else if (name == NAME_SEED && param.size == 32) {
			if (seeds == 0)
				out->context_length = copy(out->context, 32, param.data, 32);
			else if (seeds == 1 && out->context_length == 32)
				out->context_length += copy(out->context + 32, 32, param.data, 32);
			seeds++;
		}
	}
	return finish_secret(counters, out, out->secret_length != 0 && out->context_length != 0);
}

/* --- AWS-LC, which rustls derives with --------------------------------------------------------------------------- */

#define PREFIX_BYTES 6	/* "tls13 " */

/*
 * HKDF_expand(out, out_len, digest, prk, prk_len, info, info_len). `info` is an HkdfLabel (RFC 8446 7.1): the output's length, then
 * label and context, each behind its length, so that what is on the stack is not needed.
 */
SEC("uprobe")
int headwater_hkdf(struct registers *ctx)
{
	struct hw_tap_counters *counters = entered();
	__u64 at = ARG6(ctx);
	__u64 label[2] = {};
	struct hw_secret *out;
	__u8 context_length;
	__u8 head[3];
	__u64 length;

	if (!counters || bpf_probe_read_user(head, sizeof(head), (const void *)at))
		return 0;
	length = (__u64)head[2] - PREFIX_BYTES;
	at += sizeof(head) + PREFIX_BYTES;
	if (copy((__u8 *)label, sizeof(label), at, length) == 0 || derived(label) != HW_TAP_EXPAND_LABEL)
		return 0;
	at += length;
	if (bpf_probe_read_user(&context_length, sizeof(context_length), (const void *)at))
		return 0;
	out = start_secret(counters, HW_TAP_EXPAND_LABEL);
	if (!out)
		return 0;
	__builtin_memcpy(out->label, label, sizeof(label));
	out->label_length = length;
	out->secret_length = copy(out->secret, sizeof(out->secret), ARG4(ctx), ARG5(ctx));
	out->context_length = copy(out->context, sizeof(out->context), at + sizeof(context_length), context_length);
	return finish_secret(counters, out, out->secret_length != 0 && out->context_length != 0);
}

/* The arguments behind the sixth. */
struct prf_rest {
	__u64 label_length, seed1, seed1_length, seed2, seed2_length;
};

/*
 * CRYPTO_tls1_prf(digest, out, out_len, secret, secret_len, label, label_len, seed1, seed1_len, seed2, seed2_len), and tls1_P_hash
 * that it calls: what is read here stands at the same places. To be probed before the stack pointer moves.
 */
SEC("uprobe")
int headwater_prf(struct registers *ctx)
{
	struct hw_tap_counters *counters = entered();
	__u64 label[2] = {};
	struct hw_secret *out;
	struct prf_rest rest;

	if (!counters)
		return 0;
#if defined(__TARGET_ARCH_x86)
	/* Behind the return address. */
	if (bpf_probe_read_user(&rest, sizeof(rest), (const void *)(ctx->rsp + 8)))
		return 0;
#else
	rest.label_length = ctx->x[6];
	rest.seed1 = ctx->x[7];
	if (bpf_probe_read_user(&rest.seed1_length, 3 * sizeof(__u64), (const void *)ctx->sp))
		return 0;
#endif
	if (copy((__u8 *)label, sizeof(label), ARG6(ctx), rest.label_length) == 0 ||
	    derived(label) != HW_TAP_KEY_EXPANSION)
		return 0;
	out = start_secret(counters, HW_TAP_KEY_EXPANSION);
	if (!out)
		return 0;
	out->secret_length = copy(out->secret, sizeof(out->secret), ARG4(ctx), ARG5(ctx));
	/* Server random and client random: rustls puts them into one seed, AWS-LC's own TLS into two. */
	if (rest.seed1_length == 64)
		out->context_length = copy(out->context, 64, rest.seed1, 64);
	else if (rest.seed1_length == 32 && rest.seed2_length == 32 && copy(out->context, 32, rest.seed1, 32) != 0)
		out->context_length = 32 + copy(out->context + 32, 32, rest.seed2, 32);
	return finish_secret(counters, out, out->secret_length != 0 && out->context_length == 64);
}

/* --- a function that is called for each key log line, whether or not one is wanted ------------------------------ */

static __always_inline int keylog(__u64 label, __u64 label_length, __u64 random, __u64 random_length, __u64 secret,
				  __u64 secret_length)
{
	struct hw_tap_counters *counters = entered();
	struct hw_secret *out;

	if (!counters)
		return 0;
	out = start_secret(counters, HW_TAP_KEYLOG);
	if (!out)
		return 0;
	out->label_length = copy(out->label, sizeof(out->label), label, label_length);
	out->context_length = copy(out->context, sizeof(out->context), random, random_length);
	out->secret_length = copy(out->secret, sizeof(out->secret), secret, secret_length);
	return finish_secret(counters, out,
			     out->label_length != 0 && out->secret_length != 0 && out->context_length == 32);
}

/*
 * Go: func (c *Config) writeKeyLog(label string, clientRandom, secret []byte), by Go's register ABI (internal/abi: AX BX CX
 * DI SI R8 R9 R10 R11 on amd64, R0 to R15 on arm64): receiver, then pointer and length of each, slices with their capacity.
 */
SEC("uprobe")
int headwater_go(struct registers *ctx)
{
#if defined(__TARGET_ARCH_x86)
	return keylog(ctx->rbx, ctx->rcx, ctx->rdi, ctx->rsi, ctx->r9, ctx->r10);
#else
	return keylog(ctx->x[1], ctx->x[2], ctx->x[3], ctx->x[4], ctx->x[6], ctx->x[7]);
#endif
}

/*
 * log_secret(connection, const char *label, secret, its length): BoringSSL, OpenSSL 1.1.1 and GnuTLS call one for every secret and it
 * asks by itself whether a log is wanted. The client random is in the connection or in the state that it points to; where, is a
 * matter of the version. Elsewhere there is no random of any connection: such a secret names nobody's and is never used.
 */
#define NAME_CLIENT 0x5f544e45494c43ULL		/* "CLIENT_" */
#define NAME_SERVER 0x5f524556524553ULL		/* "SERVER_" */
#define NAME_MASK 0xffffffffffffffULL

/* `state_at`: of the pointer to the state; IN_PLACE: there is none. */
#define IN_PLACE (~0U)

static __always_inline int log_secret(struct registers *ctx, __u32 state_at, __u32 random_at)
{
	struct hw_tap_counters *counters = entered();
	struct hw_secret *out;
	__u64 state = ARG1(ctx);
	__u64 name = 0;
	long length;

	if (!counters)
		return 0;
	/* Others are exporters' and say nothing of traffic. */
	if (bpf_probe_read_user(&name, sizeof(name), (const void *)ARG2(ctx)) ||
	    ((name & NAME_MASK) != NAME_CLIENT && (name & NAME_MASK) != NAME_SERVER))
		return 0;
	out = start_secret(counters, HW_TAP_KEYLOG);
	if (!out)
		return 0;
	length = bpf_probe_read_user_str(out->label, sizeof(out->label), (const void *)ARG2(ctx));
	if (length > 1 && length <= (long)sizeof(out->label))
		out->label_length = length - 1;
	if (state_at == IN_PLACE ||
	    bpf_probe_read_user(&state, sizeof(state), (const void *)(ARG1(ctx) + state_at)) == 0)
		out->context_length = copy(out->context, sizeof(out->context), state + random_at, 32);
	/* GnuTLS's length is an int: the register's upper half is anything. */
	out->secret_length = copy(out->secret, sizeof(out->secret), ARG3(ctx), (__u32)ARG4(ctx));
	return finish_secret(counters, out,
			     out->label_length != 0 && out->secret_length != 0 && out->context_length == 32);
}

/* struct ssl_st: s3; struct SSL3_STATE: sequence numbers, server random, client random (ssl/internal.h, since 2017). */
SEC("uprobe")
int headwater_boringssl(struct registers *ctx)
{
	return log_secret(ctx, 0x30, 0x30);
}

/* struct ssl_st: s3; struct ssl3_state_st: flags, MAC secrets, server random, client random (ssl/ssl_locl.h of 1.1.1). */
SEC("uprobe")
int headwater_openssl111(struct registers *ctx)
{
	return log_secret(ctx, 0xa8, 0xb8);
}

/* _gnutls_call_keylog_func; struct gnutls_session_int: security_parameters (lib/gnutls_int.h). gnutls_session_get_random tells where. */
SEC("uprobe")
int headwater_gnutls(struct registers *ctx)
{
	return log_secret(ctx, IN_PLACE, 0x50);
}

/* --- which processes to look at -------------------------------------------------------------------------------- */

static __always_inline int born(void)
{
	struct hw_tap_counters *counters = tap_counters();
	struct hw_birth *out;

	if (!counters)
		return 0;
	__sync_fetch_and_add(&counters->births, 1);
	out = bpf_ringbuf_reserve(&births, sizeof(*out), 0);
	if (!out) {
		__sync_fetch_and_add(&counters->births_lost, 1);
		return 0;
	}
	out->pid = bpf_get_current_pid_tgid() >> 32;
	out->reserved = 0;
	bpf_ringbuf_submit(out, BPF_RB_FORCE_WAKEUP);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int headwater_exec(void *ctx)
{
	return observed() ? born() : 0;
}

/* _dl_debug_state: the dynamic linker calls it when the list of mapped libraries has changed, also after dlopen. */
SEC("uprobe")
int headwater_linked(void *ctx)
{
	return observed() ? born() : 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
