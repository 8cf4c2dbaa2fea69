/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef HEADWATER_MAPS_H
#define HEADWATER_MAPS_H

#include "abi.h"
#include "state.h"

/* Capture records, read by one process. User space sets the size: a power of two, 64 KiB at least. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} ring SEC(".maps");

/* State of a connection, freed with its socket. Not an LRU map: eviction would change counts. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets SEC(".maps");

/*
 * Who made a socket. Apart from `sockets` because an accepted socket inherits this (from its listener) and must not
 * inherit that. Used where the writer cannot be asked (probed: src/kernel/probe.ts).
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct creator);
} creators SEC(".maps");

/*
 * UDP sockets that have carried a QUIC handshake: what follows it is not to be told from anything else.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} quic_sockets SEC(".maps");

/*
 * Segments that came while their connection had no socket of its own (deferred accept, fast open, a full accept queue), until
 * it has one. Without them a segment that is sent again, because nobody accepted it, would be another one. As many as can be expected
 * to wait at once, and to have a copy on its way still; of more the oldest are forgotten, and may be counted once more.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct early_key);
	__type(value, struct early);
} early_segments SEC(".maps");

/* Counters by CPU and direction. An mmapable array, not a per-CPU one: a reader without capabilities cannot look maps up. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_counters);
} counters SEC(".maps");

/*
 * Closings that found no room in the ring: nothing later would ever tell that these connections are over. The array has a
 * place for each of as many as can be expected to close while nobody reads; of two that share a place the later one stays.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, HW_UNHEARD_MAX);
	__type(key, __u32);
	__type(value, struct hw_socket);
} unheard SEC(".maps");

/* What the reader tells the programs. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct hw_control);
} control SEC(".maps");

#endif
