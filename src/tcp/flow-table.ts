import type { Memory } from '../base/memory.ts';

/** Words of a key: local and remote address (8), both ports (1). */
const KEY_WORDS = 9;
const FIRST_CAPACITY = 1024;
const NONE = -1;

/**
 * Finds a number ("slot", the caller's) by addresses and ports. Open hashing over typed arrays: no string, no object for
 * each lookup. Keys may repeat (the same addresses in two network namespaces): the last one added is found. Grows by
 * doubling; how many there may be is the caller's bound.
 */
export class FlowTable {
  /** Hostile peers choose ports and addresses; without the seed they cannot aim at one chain. */
  readonly #seed: number;
  #heads = new Int32Array(FIRST_CAPACITY).fill(NONE);
  #next = new Int32Array(FIRST_CAPACITY);
  #keys = new Int32Array(FIRST_CAPACITY * KEY_WORDS);
  #mask = FIRST_CAPACITY - 1;

  constructor(seed: number = (Math.random() * 0x1_0000_0000) | 0) {
    this.#seed = seed;
  }

  /** The slot of these addresses (32 bytes: local, remote) and ports, or -1. */
  find(addresses: Memory, at: number, localPort: number, remotePort: number): number {
    const ports = (localPort << 16) | remotePort;
    let slot = this.#heads[this.#hash(addresses, at, ports)]!;
    while (slot !== NONE && !this.is(slot, addresses, at, localPort, remotePort)) slot = this.#next[slot]!;
    return slot;
  }

  /** Whether `slot` has this key. */
  is(slot: number, addresses: Memory, at: number, localPort: number, remotePort: number): boolean {
    const keys = this.#keys;
    const k = slot * KEY_WORDS;
    const { view } = addresses;
    return (
      keys[k + 8] === ((localPort << 16) | remotePort) &&
      keys[k + 7] === view.getInt32(at + 28) &&
      keys[k + 3] === view.getInt32(at + 12) &&
      keys[k + 6] === view.getInt32(at + 24) &&
      keys[k + 2] === view.getInt32(at + 8) &&
      keys[k + 5] === view.getInt32(at + 20) &&
      keys[k + 1] === view.getInt32(at + 4) &&
      keys[k + 4] === view.getInt32(at + 16) &&
      keys[k] === view.getInt32(at)
    );
  }

  /** Adds a key for `slot`, a small number that has none. */
  add(slot: number, addresses: Memory, at: number, localPort: number, remotePort: number): void {
    while (slot > this.#mask) this.#grow();
    const k = slot * KEY_WORDS;
    for (let i = 0; i < 8; i++) this.#keys[k + i] = addresses.view.getInt32(at + 4 * i);
    this.#keys[k + 8] = (localPort << 16) | remotePort;
    this.#link(slot);
  }

  remove(slot: number): void {
    const bucket = this.#hashOf(slot);
    let at = this.#heads[bucket]!;
    if (at === slot) {
      this.#heads[bucket] = this.#next[slot]!;
      return;
    }
    while (at !== NONE) {
      const next = this.#next[at]!;
      if (next === slot) {
        this.#next[at] = this.#next[slot]!;
        return;
      }
      at = next;
    }
  }

  #link(slot: number): void {
    const bucket = this.#hashOf(slot);
    this.#next[slot] = this.#heads[bucket]!;
    this.#heads[bucket] = slot;
  }

  #hash(addresses: Memory, at: number, ports: number): number {
    const { view } = addresses;
    let h = this.#seed ^ ports;
    for (let i = 0; i < 32; i += 4) h = Math.imul(h ^ view.getInt32(at + i), 0x9e3779b1) ^ (h >>> 15);
    return (h ^ (h >>> 16)) & this.#mask;
  }

  #hashOf(slot: number): number {
    const k = slot * KEY_WORDS;
    let h = this.#seed ^ this.#keys[k + 8]!;
    for (let i = 0; i < 8; i++) h = Math.imul(h ^ this.#keys[k + i]!, 0x9e3779b1) ^ (h >>> 15);
    return (h ^ (h >>> 16)) & this.#mask;
  }

  #grow(): void {
    const used: number[] = [];
    // Chains hold the newest first; linking from the oldest keeps that order.
    for (let bucket = 0; bucket < this.#heads.length; bucket++) {
      const chain: number[] = [];
      for (let slot = this.#heads[bucket]!; slot !== NONE; slot = this.#next[slot]!) chain.push(slot);
      used.push(...chain.reverse());
    }
    const capacity = this.#heads.length * 2;
    const keys = new Int32Array(capacity * KEY_WORDS);
    keys.set(this.#keys);
    this.#keys = keys;
    this.#next = new Int32Array(capacity);
    this.#heads = new Int32Array(capacity).fill(NONE);
    this.#mask = capacity - 1;
    for (const slot of used) this.#link(slot);
  }
}
