import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Lasting, Memory } from '../base/memory.ts';
import { History, NO_HISTORY } from './history.ts';

/** Memory that is written round and round, as the kernel's ring: `write` says where the bytes went. */
class Rounds implements Lasting {
  readonly memory: Memory;
  readonly #size: number;
  #written = 0;
  #end = 0;

  constructor(size: number) {
    this.#size = size;
    // Bytes that begin at its end go on behind it.
    this.memory = Memory.alloc(2 * size);
    this.memory.lasting = this;
  }

  write(bytes: Uint8Array): number {
    const from = this.#written;
    for (let i = 0; i < bytes.length; i++) {
      const at = (from + i) % this.#size;
      this.memory.buf[at] = bytes[i]!;
      this.memory.buf[at + this.#size] = bytes[i]!;
    }
    this.#written += bytes.length;
    this.#end = this.#written;
    return from % this.#size;
  }

  addressOf(offset: number): number {
    const back = (((this.#end - offset) % this.#size) + this.#size) % this.#size;
    return this.#end - back;
  }

  offsetOf(address: number): number {
    return address % this.#size;
  }

  intact(address: number): boolean {
    return this.#written - address <= this.#size;
  }
}

const bytes = (text: string): Uint8Array => Buffer.from(text, 'latin1');
const asked = (text: string): [Memory, number, number] => [Memory.from(bytes(`##${text}`)), 2, text.length];

describe('history of bytes that stay where they are', () => {
  it('looks at them there: nothing is copied', () => {
    const rounds = new Rounds(64);
    const history = new History(1024);
    const at = rounds.write(bytes('abcdef'));
    const address = history.append(NO_HISTORY, 100, rounds.memory, at, 6);
    expect(history.conflicts(address, 100, ...asked('abcdef'))).toBe(0);
    expect(history.conflicts(address, 102, ...asked('cDEf'))).toBe(2);
    rounds.memory.buf[at + 1] = 'B'.charCodeAt(0);
    expect(history.conflicts(address, 100, ...asked('abcdef'))).toBe(1);
  });

  it('says nothing of bytes that others took the place of', () => {
    const rounds = new Rounds(16);
    const history = new History(1024);
    const first = history.append(NO_HISTORY, 0, rounds.memory, rounds.write(bytes('abcdefgh')), 8);
    const second = history.append(first, 8, rounds.memory, rounds.write(bytes('ijklmnop')), 8);
    expect(history.conflicts(second, 0, ...asked('ABCDEFGHIJKLMNOP'))).toBe(16);
    rounds.write(bytes('x'));
    expect(history.conflicts(second, 0, ...asked('ABCDEFGHIJKLMNOP'))).toBe(8);
    rounds.write(bytes('xxxxxxxx'));
    expect(history.conflicts(second, 0, ...asked('ABCDEFGHIJKLMNOP'))).toBe(0);
  });

  it('copies those of a second memory', () => {
    const one = new Rounds(64);
    const other = new Rounds(64);
    const history = new History(1024);
    const first = history.append(NO_HISTORY, 0, one.memory, one.write(bytes('abcd')), 4);
    const second = history.append(first, 4, other.memory, other.write(bytes('efgh')), 4);
    other.memory.buf.fill(0);
    expect(history.conflicts(second, 0, ...asked('abcdEfgh'))).toBe(1);
  });

  it('agrees with copies as far as both reach, however segments come and are asked for', () => {
    const step = fc.record({
      text: fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 40 }),
      own: fc.boolean(),
      back: fc.nat(80),
      length: fc.integer({ min: 1, max: 60 }),
    });
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
        // Nothing is overwritten: 40 segments of 40 bytes.
        const rounds = new Rounds(2_048);
        const history = new History(16_384);
        let stream = '';
        let address: number = NO_HISTORY;
        for (const { text, own, back, length } of steps) {
          const memory = own ? Memory.from(bytes(`#${text}`)) : rounds.memory;
          const offset = own ? 1 : rounds.write(bytes(text));
          address = history.append(address, stream.length, memory, offset, text.length);
          stream += text;
          const from = Math.max(0, stream.length - back);
          const claim = 'a'.repeat(length);
          let expected = 0;
          for (let i = from; i < Math.min(stream.length, from + length); i++) if (stream[i] !== 'a') expected++;
          expect(history.conflicts(address, from, ...asked(claim))).toBe(expected);
        }
      }),
    );
  });
});
