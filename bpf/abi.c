/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Not a program: carries the types of abi.h and secrets.h as BTF, for tools/bpf/abi.ts. The compiler drops types that nothing uses. */
#include "abi.h"
#include "secrets.h"

struct {
	struct hw_socket socket;
	struct hw_counters counters;
	struct hw_control control;
	struct hw_config config;
	enum hw_kind kind;
	enum hw_direction direction;
	enum hw_reader reader;
	enum hw_guess guess;
	enum hw_mark mark;
	enum hw_evidence evidence;
	enum hw_unheard unheard;
	enum hw_spares spares;
	enum hw_class class;
	enum hw_udp udp;
	struct hw_secret secret;
	struct hw_birth birth;
	struct hw_tap_counters taps;
	struct hw_secrets_config secrets_config;
	enum hw_tap tap;
	enum hw_secret_limit limit;
	struct hw_segment segment;
} abi;
