import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { KeyedHash } from '../../base/keyed-hash.ts';
import { decodeHeaders, encodeHeaders, mergeHeaders } from './codec.ts';
import { HeaderState } from './state.ts';
import { mergeValues, VALUES_KEPT, type ValueCount, ValueList } from './values.ts';

const KEY = { service: 's', side: 'server', method: 'GET', route: '/a' };

/** Of a name: its value, how often it came, how long after the start. */
type Seen = readonly (readonly [name: number, value: number, count: number, atMs: number])[];

function stateOf(seen: Seen): HeaderState {
  const state = new HeaderState();
  state.stretch(1_000, 61_000, 0);
  for (const [n, value, count, atMs] of seen) {
    const group = state.group({ ...KEY, route: `/${n % 2}` }, n % 3 === 0 ? 'request' : 'response');
    group.messages += count;
    group.independent += count;
    group.blockLines.add(1 + (value % 40), count);
    group.blockBytes.add(30 + value, count);
    const name = group.name(`x-${n}`);
    const values = new ValueList();
    values.put(`value é ${value}`, count, value % 2 === 0 ? count : 0, '');
    const at = 1_000 + atMs;
    const example = `call-${value}`;
    const own = { messages: count, lines: count, repeated: 0, linesMax: 1, error: 0, firstAt: at, lastAt: at, example };
    name.mergeCounts(own, values);
    name.lengths.add(5 + value, count);
    for (let i = 0; i < count; i++) name.distinct.add(Math.imul(value * 31 + i, 0x9e3779b1), value * 0x85ebca6b);
  }
  return state;
}

const seen = fc.array(fc.tuple(fc.nat(4), fc.nat(90), fc.integer({ min: 1, max: 300 }), fc.nat(60_000)), {
  minLength: 1,
  maxLength: 120,
});

describe('statistics are added up from their bytes', () => {
  test('as if they had been made first', () => {
    fc.assert(
      fc.property(seen, seen, seen, (...parts) => {
        const bytes = parts.map((part) => encodeHeaders(stateOf(part)));
        const made = new HeaderState();
        const added = new HeaderState();
        for (const one of bytes) {
          const decoded = decodeHeaders(one);
          if (!decoded.ok) throw new Error(decoded.problem);
          made.merge(decoded.state, true);
          expect(mergeHeaders(added, one)).toBe(null);
        }
        expect(encodeHeaders(added)).toEqual(encodeHeaders(made));
      }),
      { numRuns: 60 },
    );
  });

  test('without what a comparison does not look at, the rest is the same', () => {
    fc.assert(
      fc.property(seen, seen, (...parts) => {
        const [whole, values] = [new HeaderState(), new HeaderState()];
        for (const part of parts) {
          const bytes = encodeHeaders(stateOf(part));
          mergeHeaders(whole, bytes);
          mergeHeaders(values, bytes, 'values');
        }
        for (const [id, group] of whole.groups) {
          const other = values.groups.get(id)!;
          expect(other.messages).toBe(group.messages);
          for (const [name, { messages, lines, rest, values: kept }] of group.names)
            expect(other.names.get(name)).toMatchObject({ messages, lines, rest, values: kept });
        }
      }),
      { numRuns: 30 },
    );
  });

  test('bytes that cannot be read add nothing', () => {
    const good = encodeHeaders(
      stateOf([1, 2, 3, 4].flatMap((n) => [[n, 7, 30, 0] as const, [n, 8, 200, 500] as const])),
    );
    const edits = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(edits, fc.integer({ min: 0, max: good.length }), (changes, length) => {
        const bytes = good.slice(0, length);
        for (const [at, byte] of changes) if (at < length) bytes[at] = byte;
        const into = stateOf([[0, 1, 5, 5]]);
        const before = encodeHeaders(into);
        if (mergeHeaders(into, bytes) !== null) expect(encodeHeaders(into)).toEqual(before);
      }),
      { numRuns: 1_000 },
    );
  });
});

test('of two lists of values the most frequent are kept, and none misses more than is said', () => {
  const list = fc.uniqueArray(fc.tuple(fc.nat(150), fc.integer({ min: 1, max: 9 })), {
    selector: ([value]) => value,
    maxLength: VALUES_KEPT,
  });
  fc.assert(
    fc.property(fc.array(list, { maxLength: 6 }), (lists) => {
      const kept = new Map<string, ValueCount>();
      const truth = new Map<string, number>();
      let error = 0;
      for (const values of lists) {
        const theirs = new ValueList();
        for (const [value, count] of values) {
          theirs.put(String(value), count, count, '');
          truth.set(String(value), (truth.get(String(value)) ?? 0) + count);
        }
        error += mergeValues(kept, theirs);
      }
      expect(kept.size).toBeLessThanOrEqual(VALUES_KEPT);
      for (const [value, count] of truth) {
        const counted = kept.get(value)?.count ?? 0;
        expect(counted).toBeLessThanOrEqual(count);
        expect(counted + error).toBeGreaterThanOrEqual(count);
      }
      for (const { count, late } of kept.values()) expect(count > 0 && late <= count + 1e-9).toBe(true);
    }),
    { numRuns: 200 },
  );
});

test('16,384 values of sixty minutes are counted within two percent, typically within one', () => {
  const minutes = 60;
  const values = 16_384;
  const errors = Array.from({ length: 20 }, (_, seed) => {
    const key = Buffer.alloc(8);
    key.writeInt32LE(seed);
    const hash = new KeyedHash(key);
    const all = new HeaderState();
    for (let minute = 0; minute < minutes; minute++) {
      const state = new HeaderState();
      const from = minute * 60_000;
      state.stretch(from, from + 60_000, 0);
      const group = state.group(KEY, 'request');
      const name = group.name('x-request-id');
      for (let i = minute; i < values; i += minutes) {
        hash.text(`id-${i}`);
        name.distinct.add(hash.low, hash.high);
        group.messages++;
      }
      const own = { messages: group.messages, lines: group.messages, repeated: 0, linesMax: 1, error: 0 };
      name.mergeCounts({ ...own, firstAt: from, lastAt: from, example: 'call' }, new ValueList());
      expect(mergeHeaders(all, encodeHeaders(state))).toBe(null);
    }
    return Math.abs(all.group(KEY, 'request').name('x-request-id').distinct.count() / values - 1);
  });
  // As of a sketch that saw all of them (sketch/hyperloglog.test.ts).
  expect(errors.filter((error) => error > 0.02).length).toBeLessThanOrEqual(1);
  expect(errors.reduce((a, b) => a + b) / errors.length).toBeLessThan(0.01);
});
