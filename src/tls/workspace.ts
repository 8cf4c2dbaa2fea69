/** The memory in which records are opened and keys derived: one for each pipeline, used within one call only, mapped for the first. */
import type { Memory } from '../base/memory.ts';
import { cleanse, lockMemory, mapRegion, type Region, unmapRegion } from './libcrypto.ts';

/** RFC 5246 6.2.3: a protected fragment has at most 2^14 + 2048 bytes (RFC 8446 5.2: 2^14 + 256). */
export const FRAGMENT_BYTES_MAX = 16_384 + 2_048;
export const HEADER_BYTES = 5;
export const RECORD_BYTES_MAX = HEADER_BYTES + FRAGMENT_BYTES_MAX;

const PAGE = 4_096;
/** Keys are derived in the first page, which is locked; records are opened behind it. */
export const RECORD_AT = PAGE;
const REGION_BYTES = 8 * PAGE;

export class Workspace {
  /** null: nobody needed it yet. */
  #region: Region | null = null;

  get memory(): Memory {
    return this.map().memory;
  }

  get address(): number {
    return this.map().address;
  }

  /** Maps it, unless it is there; else the first use does. */
  map(): Region {
    if (this.#region !== null) return this.#region;
    const region = mapRegion(REGION_BYTES);
    lockMemory(region.address, PAGE);
    this.#region = region;
    return region;
  }

  /** Zeroes what key derivation left. */
  clean(): void {
    cleanse(this.address, PAGE);
  }

  close(): void {
    if (this.#region === null) return;
    cleanse(this.address, REGION_BYTES);
    unmapRegion(this.address, REGION_BYTES);
  }
}
