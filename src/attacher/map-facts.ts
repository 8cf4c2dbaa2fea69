/** What the kernel tells of a map by its descriptor: /proc/self/fdinfo (Linux 4.10), no system call of our own. */
import { readFileSync } from 'node:fs';
import type { MapStatus } from '../model/status.ts';

/** enum bpf_map_type (linux/bpf.h): the ones that this program makes, and those it may make next. */
const TYPES: Readonly<Record<number, string>> = {
  1: 'hash',
  2: 'array',
  5: 'percpu_hash',
  6: 'percpu_array',
  9: 'lru_hash',
  24: 'sk_storage',
  27: 'ringbuf',
};

/** Type and size; `entries` is null, because the kernel does not count them. */
export function mapFacts(name: string, fd: number): MapStatus {
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8');
  const number = (key: string): number => Number(new RegExp(`^${key}:\\s*(\\d+)`, 'm').exec(text)?.[1] ?? 0);
  const type = number('map_type');
  return { name, type: TYPES[type] ?? `type ${type}`, entries: null, max_entries: number('max_entries') };
}
