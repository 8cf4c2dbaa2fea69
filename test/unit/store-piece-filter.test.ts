import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { queryCalls } from '../../src/query/calls.ts';
import { mayHavePiece } from '../../src/store/piece-filter.ts';
import type { StoreReader } from '../../src/store/reader.ts';
import { CALLS_FILE, PIECES_FILE, sealedSegments } from '../../src/store/seal.ts';
import { Folder } from '../rig/folder.ts';
import { NOW_MS, StoreRig } from './store-rig.ts';

const HOUR_MS = 3_600_000;

/** Numbers that are the same in each run (a linear congruential generator). */
class Digits {
  #state = 1;
  hex(length: number): string {
    let text = '';
    while (text.length < length) {
      this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
      text += (this.#state >>> 16).toString(16).padStart(4, '0');
    }
    return text.slice(0, length);
  }
}

interface Stored {
  readonly target: string;
  readonly agent: string;
  readonly id: string;
  readonly trace: string;
}

/** Calls with values that their client repeats and values of their own. */
function callsOf(segment: number, calls: number, digits: Digits): Stored[] {
  return Array.from({ length: calls }, (_, i) => ({
    target: `/s${segment}/items/${i}?page=${i % 7}`,
    agent: `agent-${segment}/1.${i % 3} (t\u00e9st)`,
    id: `${digits.hex(8)}-${digits.hex(4)}-${digits.hex(12)}`,
    trace: `00-${digits.hex(32)}-${digits.hex(16)}-01`,
  }));
}

/** One segment an hour. */
async function write(data: string, segments: readonly (readonly Stored[])[]): Promise<string[]> {
  const rig = await new StoreRig(data).open();
  let ordinal = 0;
  for (const [s, calls] of segments.entries()) {
    for (const { target, agent, id, trace } of calls) {
      const own: [string, string][] = [
        ['X-Request-Id', id],
        ['Traceparent', trace],
      ];
      rig.quietly({
        ordinal: ++ordinal,
        request: { target, headers: [['Host', 'h'], ['User-Agent', agent], ...own] },
        response: { headers: [['X-Request-Id', id]] },
      });
    }
    await rig.tick(NOW_MS + (s + 1) * HOUR_MS);
  }
  await rig.close(NOW_MS + segments.length * HOUR_MS);
  return [...sealedSegments(data).values()].map((folder) => join(data, folder, PIECES_FILE));
}

const has = (path: string, text: string, first = false): boolean => mayHavePiece(path, { type: 'piece', text, first });

test('every piece of every value and target is there', async () => {
  using folder = new Folder();
  const calls = callsOf(0, 1_500, new Digits());
  const [path] = (await write(folder.file('data'), [calls])) as [string];
  fc.assert(
    fc.property(
      fc.constantFrom(...calls),
      fc.constantFrom<(keyof Stored)[]>('target', 'agent', 'id', 'trace'),
      fc.nat(60),
      fc.nat(60),
      (call, of, from, length) => {
        const value = call[of];
        expect(has(path, value.slice(from, from + length))).toBe(true);
        expect(has(path, value.slice(0, length), true)).toBe(true);
      },
    ),
    { numRuns: 600 },
  );
});

test('pieces of nothing are ruled out, words among ids and ids among ids, at few bytes a call', async () => {
  using folder = new Folder();
  const digits = new Digits();
  const calls = callsOf(0, 6_000, digits);
  const [path] = (await write(folder.file('data'), [calls])) as [string];
  expect(statSync(path).size / calls.length).toBeLessThan(20);
  const wrong = (pieces: readonly string[], first = false): number =>
    pieces.filter((piece) => has(path, piece, first)).length;
  expect(wrong(['nonesuch', 'curl/9.9', '/other/', 'zzzz', 'xyxyxy', 'Mozilla', 'caf\u00e9', 'items/x'])).toBeLessThan(
    2,
  );
  const absent = (length: number): string[] => Array.from({ length: 400 }, () => digits.hex(length));
  expect(wrong(absent(32))).toBeLessThan(8);
  expect(wrong(absent(20))).toBeLessThan(80);
  expect(wrong(absent(16), true)).toBeLessThan(80);
});

test('a damaged, cut or missing filter never hides a call', async () => {
  using folder = new Folder();
  const calls = callsOf(0, 400, new Digits());
  const [path] = (await write(folder.file('data'), [calls])) as [string];
  const whole = readFileSync(path);
  const there = calls.filter((_, i) => i % 25 === 0).flatMap(({ id, trace }) => [id, trace.slice(3, 35)]);
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
      const bytes = Buffer.from(cut ? whole.subarray(0, at) : whole);
      if (!cut) bytes[at]! ^= flip;
      writeFileSync(path, bytes);
      expect(there.every((piece) => has(path, piece))).toBe(true);
    }),
    { numRuns: 200 },
  );
  rmSync(path);
  expect(has(path, there[0]!)).toBe(true);
});

async function found(reader: StoreReader, filter: string): Promise<string[]> {
  const answer = await queryCalls(reader, { filter, limit: 10_000 });
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value.calls.map(({ id }) => id);
}

test('a search for a piece opens only segments that may have it, and answers as without the filters', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  const digits = new Digits();
  const segments = Array.from({ length: 5 }, (_, s) => callsOf(s, 60, digits));
  const paths = await write(data, segments);
  const trace = segments[3]![7]!.trace;
  const id = segments[1]![9]!.id;
  const filters = [
    ['request.headers.traceparent', 'contains', trace.slice(3, 35)],
    ['request.headers.traceparent', 'contains', trace.slice(5, 30)],
    ['request.headers.traceparent', 'endsWith', trace.slice(20)],
    ['response.headers["x-request-id"]', 'startsWith', id.slice(0, 13)],
    ['request.headers["user-agent"]', 'contains', 'agent-2/1'],
    ['request.headers["user-agent"]', 'endsWith', '(t\u00e9st)'],
    ['request.path', 'startsWith', '/s4/'],
    ['request.path', 'contains', 'page=3'],
    ['request.url_path', 'endsWith', 's/12'],
    ['request.headers.host', 'contains', 'h'],
    ['request.headers.host', 'contains', 'nonesuch'],
  ].map(([of, call, piece]) => `${of}.${call}(${JSON.stringify(piece)})`);
  filters.push(`!(${filters[4]})`, `${filters[0]} || ${filters[6]}`, `${filters[4]} && ${filters[7]}`);
  const answers: string[][] = [];
  const reader = await new StoreRig(data).read();
  for (const filter of filters) answers.push(await found(reader, filter));
  expect(answers.map(({ length }) => length)).toEqual([1, 1, 1, 1, 60, 300, 60, 45, 5, 300, 0, 240, 61, 9]);
  // Without the filters.
  const kept = paths.map((path) => readFileSync(path));
  for (const path of paths) rmSync(path);
  for (const [n, filter] of filters.entries()) expect(await found(reader, filter), filter).toEqual(answers[n]);
  for (const [s, path] of paths.entries()) writeFileSync(path, kept[s]!);
  const before = reader.segments.length;
  // Whoever opens another one finds no file, and leaves the segment out from then on.
  for (const [s, path] of paths.entries()) if (s !== 3) rmSync(join(path, '..', CALLS_FILE));
  for (const n of [0, 1, 2, 10]) expect(await found(reader, filters[n]!)).toEqual(answers[n]);
  expect(reader.segments).toHaveLength(before);
  reader.close();
});
