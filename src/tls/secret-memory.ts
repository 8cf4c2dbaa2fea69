/**
 * Where secrets are while they are needed: slots of one region outside the V8 heap, locked against swap as far as the
 * system allows, left out of core files and of children, zeroed when given back. No secret is ever a JavaScript string.
 */
import { assert } from '../base/assert.ts';
import type { Memory } from '../base/memory.ts';
import { cleanse, lockMemory, type Region, reserveRegion, unmapRegion, viewRegion } from './libcrypto.ts';

/** A slot: one secret of up to 48 bytes (SHA-384), and 12 bytes of IV behind it. */
export const SLOT_BYTES = 64;
export const SECRET_BYTES_MAX = 48;
export const IV_BYTES = 12;

/** Slots there can be: secrets that wait for their connection, and two for each decrypted connection. */
export const SLOTS_MAX = 1 << 20;
/** Locked in steps of this many bytes, when their first slot is used. The first view is as long, and doubles. */
const LOCK_BYTES = 64 << 10;

/** A slot's number; -1: none. */
export type Slot = number;

export class SecretMemory {
  readonly #reserved: number;
  /** What is seen of it: as much as slots were ever used, twice that at most. null: none was yet. */
  #region: Region | null = null;
  readonly #free: Slot[] = [];
  readonly #max: number;
  #next = 0;
  #lockedTo = 0;
  /** Slots in use. */
  used = 0;
  /** The system refused to lock a part of what is in use: it may be written to swap. */
  unlocked = false;

  constructor(slotsMax = SLOTS_MAX) {
    this.#max = slotsMax;
    this.#reserved = Math.max(LOCK_BYTES, slotsMax * SLOT_BYTES);
  }

  /** Reserves the region, unless it is there; else the first use does. */
  map(): Region {
    this.#region ??= viewRegion(reserveRegion(this.#reserved), LOCK_BYTES);
    return this.#region;
  }

  /** A zeroed slot, or -1 when all are in use. */
  take(): Slot {
    let slot = this.#free.pop();
    if (slot === undefined) {
      if (this.#next >= this.#max) return -1;
      slot = this.#next++;
      this.#lock(slot);
    }
    this.used++;
    return slot;
  }

  #lock(slot: Slot): void {
    const end = (slot + 1) * SLOT_BYTES;
    if (end <= this.#lockedTo) return;
    const { address, memory } = this.map();
    if (!lockMemory(address + this.#lockedTo, LOCK_BYTES)) this.unlocked = true;
    this.#lockedTo += LOCK_BYTES;
    if (this.#lockedTo > memory.size) this.#region = viewRegion(address, Math.min(this.#reserved, 2 * memory.size));
  }

  /** Zeroes the slot and takes it back. */
  give(slot: Slot): void {
    assert(slot >= 0 && slot < this.#next, 'a slot comes from here');
    cleanse(this.address(slot), SLOT_BYTES);
    this.#free.push(slot);
    this.used--;
  }

  address(slot: Slot): number {
    return this.map().address + slot * SLOT_BYTES;
  }

  /** Holds every slot taken so far: to be asked for anew after `take`. */
  get memory(): Memory {
    return this.map().memory;
  }

  /** Zeroes and unmaps everything; nothing of it may be used afterwards. */
  close(): void {
    if (this.#region === null) return;
    cleanse(this.#region.address, this.#next * SLOT_BYTES);
    unmapRegion(this.#region.address, this.#reserved);
  }
}
