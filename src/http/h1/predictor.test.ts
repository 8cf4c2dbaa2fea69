/** The line predictor against the plain reading of the same bytes. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { latin1 } from '../../../test/fuzz/h1-rig.ts';
import { Memory } from '../../base/memory.ts';
import { LossLedger } from '../../model/loss.ts';
import type { Message } from '../../model/message.ts';
import { hashBytes, KIND_NAME, LineTable } from '../lines.ts';
import { NameTable } from '../names.ts';
import { H1Shared } from './shared.ts';
import { H1Stream } from './stream.ts';

type Line = [name: string, value: string];

/** Reads a header block the plain way: one latin1Slice, then strings. */
function plain(block: string): Array<[lower: string, raw: string, value: string]> {
  return block
    .replace(/[ \t]*\r\n[ \t]+/g, ' ')
    .split('\r\n')
    .filter((line) => line !== '')
    .map((line) => {
      const colon = line.indexOf(':');
      const raw = line.slice(0, colon);
      const lower = raw.replace(/[A-Z]/g, (c) => c.toLowerCase());
      return [lower, raw, line.slice(colon + 1).replace(/^[ \t]+|[ \t]+$/g, '')];
    });
}

/** One direction of a connection that takes requests with given header blocks and returns what it read. */
function connection(shared: H1Shared): (block: string, cuts?: number[]) => Array<[string, string, string]> {
  let read: Array<[string, string, string]> = [];
  let position = 0;
  const sink = {
    head: (m: Message): void => {
      read = Array.from({ length: m.fields.count }, (_, i) => [
        m.fields.name(i).lower,
        m.fields.lines[i]!.raw,
        m.fields.value(i),
      ]);
    },
    interim: (): void => {},
    end: (m: Message): void => {
      expect(m.end).toBe('framed');
      shared.pool.give(m);
    },
    requestFor: (): null => null,
  };
  const stream = new H1Stream('request', sink, shared, new LossLedger(), 'opened');
  return (block, cuts = []) => {
    const bytes = latin1(`GET / HTTP/1.1\r\n${block}\r\n`);
    let from = 0;
    for (const cut of [...cuts.map((c) => c % bytes.length).sort((a, b) => a - b), bytes.length]) {
      if (cut <= from) continue;
      const memory = Memory.from(bytes.subarray(from, cut));
      stream.data(memory, 0, cut - from, position, 1, -1);
      memory.buf.fill(0x2a);
      position += cut - from;
      from = cut;
    }
    return read;
  };
}

const NAMES = [
  'authorization',
  'Authorization',
  'AUTHORIZATION',
  'Authorizatioo',
  'Authorization1',
  'authorizatio',
  'Buthorization',
  'a',
  'A',
  'ab',
  'aB',
  'abc',
  'abcd',
  'abcde',
  'X-Request-Id',
  'x-request-id',
  'X-Request-Ie',
  'Host',
  'Set-Cookie',
  'Content-Type',
  'Xontent-Type',
  `X-${'long'.repeat(40)}`,
  `X-${'long'.repeat(40)}r`,
]; // prettier-ignore
const VALUES = [
  '',
  '0',
  '1',
  'Bearer sk-fake-1',
  'Bearer sk-fake-2',
  ': ',
  'a:b',
  '\xff\x80',
  'v'.repeat(600),
  'v'.repeat(250),
];

const blank = fc.constantFrom('', ' ', '\t', '  ');
const line = fc
  .tuple(
    fc.constantFrom(...NAMES),
    blank,
    fc.oneof(
      fc.constantFrom(...VALUES),
      fc.stringMatching(/^[!-~\x80-\xff]([ -~\x80-\xff]{0,40}[!-~\x80-\xff])?$/),
      fc.constant('one\r\n two').map((v) => v),
      fc.constant('\r\n\t folded'),
    ),
    blank,
  )
  .map(([name, before, value, after]) => `${name}:${before}${value}${after}\r\n`);
const blocks = fc.array(fc.array(line, { maxLength: 20 }), { minLength: 1, maxLength: 8 });

describe('the predictor reads what the plain reading reads', () => {
  test.each([
    ['with room', 16_384, 1 << 20],
    ['with sixteen entries', 16, 1 << 20],
    ['with 300 bytes', 64, 300],
  ])('%s', (_, entries, bytes) => {
    const names = new NameTable(150);
    const lines = new LineTable(names, { entries, bytes });
    const shared = new H1Shared(names, lines);
    fc.assert(
      fc.property(blocks, fc.array(fc.nat(2_000), { maxLength: 4 }), (list, cuts) => {
        const one = connection(shared);
        const two = connection(shared);
        // Repeated in turn, so that lines are seen, remembered, predicted, left out and put back.
        for (const block of [...list, ...list, ...list.toReversed()]) {
          const text = block.join('');
          expect(one(text)).toEqual(plain(text));
          expect(two(text, cuts)).toEqual(plain(text));
        }
        expect(lines.bytes).toBeLessThanOrEqual(bytes);
        expect(lines.size).toBeLessThanOrEqual(entries);
      }),
      { numRuns: 150, seed: 3 },
    );
    if (entries === 16) expect(lines.evicted).toBeGreaterThan(0);
    if (bytes === 300) expect(lines.refused).toBeGreaterThan(0);
  });
});

/** Sixteen hex digits that differ everywhere from one number to the next: the hash tells short differences apart. */
const mixed = (n: number): string =>
  [0x9e3779b1, 0x85ebca6b].map((k) => (Math.imul(n + 1, k) >>> 0).toString(16).padStart(8, '0')).join('');

/** Pairs of different texts made by `make` whose bytes have the same hash (found by their number, not by design). */
function collisions(make: (n: number) => string, hash: (memory: Memory, length: number) => number): string[][] {
  const seen = new Map<number, string>();
  const found: string[][] = [];
  const memory = Memory.alloc(64);
  for (let n = 0; n < 250_000; n++) {
    const text = make(n);
    memory.buf.latin1Write(text);
    const h = hash(memory, text.length);
    const other = seen.get(h);
    if (other !== undefined) found.push([other, text]);
    else seen.set(h, text);
  }
  return found;
}

test('names whose hashes collide keep apart', () => {
  const pairs = collisions(
    (n) => `x-${mixed(n)}:`,
    (memory, length) => hashBytes(memory.view, 0, length, KIND_NAME),
  );
  expect(pairs.length).toBeGreaterThan(0);
  const shared = new H1Shared();
  const read = connection(shared);
  for (const pair of pairs) {
    for (let round = 0; round < 3; round++) {
      for (const name of pair) expect(read(`${name} v\r\n`)).toEqual(plain(`${name} v\r\n`));
    }
  }
});

test('lines whose hashes collide keep apart', () => {
  const name = 'authorization:';
  const memory = Memory.from(latin1(name));
  const seed = hashBytes(memory.view, 0, name.length, KIND_NAME);
  const pairs = collisions(
    (n) => ` Bearer fake-${mixed(n)}\r\n`,
    (value, length) => hashBytes(value.view, 0, length, seed),
  );
  expect(pairs.length).toBeGreaterThan(0);
  const read = connection(new H1Shared());
  for (const pair of pairs) {
    for (let round = 0; round < 4; round++) {
      for (const value of pair) expect(read(`${name}${value}`)).toEqual(plain(`${name}${value}`));
    }
  }
});

test('a name or a value enters the table at its second sight, a unique one never', () => {
  const shared = new H1Shared();
  const read = connection(shared);
  read('X-Id: first\r\n');
  const after = shared.lines.size;
  for (let i = 0; i < 1_000; i++) read(`X-Id: unique-${i}\r\n`);
  // The start line and the name came twice.
  expect(shared.lines.size).toBe(after + 2);
  for (let i = 0; i < 1_000; i++) read(`X-Id-${i}: 1\r\n`);
  expect(shared.lines.size).toBe(after + 2);
  // Where values vary, one block in eight is looked at.
  for (let i = 0; i < 16; i++) read('X-Id: again\r\n');
  expect(shared.lines.size).toBe(after + 3);
});

test('a line that repeats is shared, between connections too', () => {
  const shared = new H1Shared();
  const lines: unknown[] = [];
  const sink = {
    head: (m: Message): void => void lines.push(m.fields.lines[0]),
    interim: (): void => {},
    end: (m: Message): void => shared.pool.give(m),
    requestFor: (): null => null,
  };
  const bytes = latin1('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
  for (let i = 0; i < 6; i++) {
    const stream = new H1Stream('request', sink, shared, new LossLedger(), 'opened');
    stream.data(Memory.from(bytes), 0, bytes.length, 0, 1, -1);
  }
  expect(new Set(lines.slice(1)).size).toBe(1);
});

test('a million names do not grow the tables beyond their bounds, and the well-known ones keep their ids', () => {
  const shared = new H1Shared();
  const read = connection(shared);
  for (let i = 0; i < 20_000; i++) expect(read(`n${i}: 1\r\n`)[0]![0]).toBe(`n${i}`);
  expect(shared.names.size).toBe(4_096);
  expect(shared.names.overflowed).toBeGreaterThan(0);
  expect(shared.names.intern('authorization').id).toBeGreaterThan(0);
  expect(shared.lines.size).toBeLessThanOrEqual(16_384);
});

test('only A to Z are lowered', () => {
  const read = connection(new H1Shared());
  const line: Line = ['X-Abc', '1'];
  expect(read(`${line[0]}: ${line[1]}\r\n`)).toEqual([['x-abc', 'X-Abc', '1']]);
});
