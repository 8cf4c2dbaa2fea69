/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the TLS taps and user space agree on; tools/bpf/abi.ts turns it into src/kernel/secrets-abi.ts. A tap reads the
 * arguments of one function when it is entered, once for each secret of a handshake, and nothing else.
 */
#ifndef HEADWATER_SECRETS_H
#define HEADWATER_SECRETS_H

#include <linux/types.h>

enum hw_tap {
	HW_TAP_EXPAND_LABEL = 1,	/* TLS 1.3, HKDF-Expand-Label: the input secret, the label and the transcript hash */
	HW_TAP_KEY_EXPANSION = 2,	/* TLS 1.2, "key expansion": the master secret, server and client random */
	HW_TAP_KEYLOG = 3,	/* a key log line's parts: label, client random, secret */
};

enum hw_secret_limit {
	HW_SECRET_BYTES = 64,	/* the longest hash: SHA-512 */
	HW_LABEL_BYTES = 40,	/* "CLIENT_HANDSHAKE_TRAFFIC_SECRET" has 31 */
};

struct hw_secret {
	__u64 ts;		/* CLOCK_MONOTONIC */
	__u64 cgroup_id;
	__u32 pid;		/* thread group */
	__u8 tap;
	__u8 secret_length;
	__u8 context_length;	/* transcript hash, or server random and client random, or client random */
	__u8 label_length;
	__u8 label[HW_LABEL_BYTES];
	__u8 secret[HW_SECRET_BYTES];
	__u8 context[HW_SECRET_BYTES];
};

/* A process of an observed cgroup started a program, or its dynamic linker has mapped libraries. */
struct hw_birth {
	__u32 pid;		/* thread group */
	__u32 reserved;
};

/* Counted where it happens, one array for all CPUs: a handshake is rare. */
struct hw_tap_counters {
	__u64 entered;		/* by a process of an observed cgroup */
	__u64 emitted;
	__u64 ring_full;
	__u64 unreadable;	/* the arguments were not what they should be, or a page was not there */
	__u64 births;
	__u64 births_lost;
};

struct hw_secrets_config {
	__u32 cgroups;		/* entries of the scope map; 0: every cgroup is observed */
	__u32 reserved;
};

#endif
