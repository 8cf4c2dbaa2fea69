/** Looks for pieces of secrets in any bytes. */
import { formsOf } from '../../fixtures/canaries.ts';
import type { Planted } from './planted.ts';

/** Bytes in a row that give a secret away. Of digits and hexadecimal ones this many occur in numbers and fingerprints by chance. */
const LEAK = 8;
const LEAK_OF_DIGITS = 12;

/** Finds what `secrets` have in a row in any bytes. A bit for each hash of `LEAK` bytes; only where it is set the bytes are compared. */
export class Search {
  readonly #bits = new Uint8Array(1 << 21);
  readonly #pieces = new Map<string, string>();

  constructor(secrets: readonly Planted[]) {
    for (const { place, secret } of secrets)
      for (const form of formsOf(secret)) {
        const length = /%[0-9a-f]{2}%/i.test(form) ? 3 * LEAK : /^[0-9a-f]+$/.test(secret) ? LEAK_OF_DIGITS : LEAK;
        for (let at = 0; at + length <= form.length; at++) this.#add(form.slice(at, at + length), place);
      }
  }

  #add(piece: string, place: string): void {
    this.#pieces.set(piece, place);
    const hash = hashAt(Buffer.from(piece, 'latin1'), 0);
    this.#bits[hash >>> 3]! |= 1 << (hash & 7);
  }

  /** Up to ten secrets of which `bytes` show something: where they were put, and what is shown first. */
  in(bytes: Buffer): string[] {
    const found = new Map<string, string>();
    for (let at = 0; at + LEAK <= bytes.length && found.size < 10; at++) {
      const hash = hashAt(bytes, at);
      if ((this.#bits[hash >>> 3]! & (1 << (hash & 7))) === 0) continue;
      for (const length of [LEAK, LEAK_OF_DIGITS, 3 * LEAK]) {
        const piece = bytes.toString('latin1', at, at + length);
        const place = this.#pieces.get(piece);
        if (place !== undefined && !found.has(place)) found.set(place, piece);
      }
    }
    return [...found].map(([place, piece]) => `${place}: ${piece}`);
  }
}

/** 24 bits of the LEAK bytes at `at`. */
const hashAt = (bytes: Buffer, at: number): number =>
  (Math.imul(bytes.readUInt32LE(at), 0x9e3779b1) ^ Math.imul(bytes.readUInt32LE(at + 4), 0x85ebca6b)) >>> 8;
