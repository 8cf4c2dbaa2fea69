import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { queryCalls } from '../../src/query/calls.ts';
import { mayHavePiece } from '../../src/store/piece-filter.ts';
import { CALLS_FILE, PIECES_FILE, sealedSegments, VALUES_FILE } from '../../src/store/seal.ts';
import { mayHave, type Sought } from '../../src/store/value-filter.ts';
import { Folder } from '../rig/folder.ts';
import { NOW_MS, StoreRig } from './store-rig.ts';

const HOUR_MS = 3_600_000;
const value = (text: string): Sought => ({ type: 'text', text });

/** One segment an hour, `calls` in each; the values of segment s begin with "s<s>-". */
async function hours(data: string, segments: number, calls: number): Promise<string[]> {
  const rig = await new StoreRig(data).open();
  for (let s = 0; s < segments; s++) {
    for (let i = 0; i < calls; i++) {
      rig.quietly({
        ordinal: s * calls + i + 1,
        request: {
          target: `/s${s}/${i}`,
          headers: [
            ['Host', `shared-${s}`],
            ['X-Request-Id', `s${s}-${i}-\u00e9`],
            [`X-Only-${s}`, ''],
          ],
        },
        response: { headers: [['X-Request-Id', `s${s}-${i}-\u00e9`]] },
      });
    }
    await rig.tick(NOW_MS + (s + 1) * HOUR_MS);
  }
  await rig.close(NOW_MS + segments * HOUR_MS);
  return [...sealedSegments(data).values()].map((folder) => join(data, folder));
}

test('a filter has what its segment has, and little else', async () => {
  using folder = new Folder();
  const segments = await hours(folder.file('data'), 2, 3_000);
  const [first, second] = segments.map((path) => join(path, VALUES_FILE)) as [string, string];
  for (let i = 0; i < 3_000; i++) {
    // The text as it is stored: the wire's bytes, read as the log reads them.
    for (const text of [`s0-${i}-\u00e9`, `/s0/${i}`]) expect(mayHave(first, value(text)), text).toBe(true);
  }
  for (const text of ['shared-0', '']) expect(mayHave(first, value(text)), text).toBe(true);
  for (const name of ['host', 'x-request-id', 'x-only-0'])
    expect(mayHave(first, { type: 'name', part: 'request', name })).toBe(true);
  expect(mayHave(first, { type: 'name', part: 'response', name: 'host' })).toBe(false);
  expect(mayHave(first, { type: 'name', part: 'request', name: 'x-only-1' })).toBe(false);
  expect(mayHave(first, { type: 'other_form' })).toBe(false);
  let wrong = 0;
  for (let i = 0; i < 3_000; i++) if (mayHave(second, value(`s0-${i}-\u00e9`))) wrong++;
  expect(wrong).toBeLessThan(60);
});

test('values that come again and again are there, and so are those between that look for the same place', async () => {
  using folder = new Folder();
  const rig = await new StoreRig(folder.file('data')).open();
  // More short values than are remembered as having come lately, each in pieces of its own too.
  const shortValue = (i: number): string => `v${(i % 9_000).toString(36)}`;
  for (let i = 0; i < 20_000; i++)
    rig.quietly({
      ordinal: i + 1,
      request: { headers: [['X-N', shortValue(i)]] },
      response: { headers: [['Date', `day ${i >> 10}`]] },
    });
  await rig.close(NOW_MS);
  const sealed = [...sealedSegments(folder.file('data')).values()].map((path) => join(folder.file('data'), path));
  const held = Array.from({ length: 20_000 }, (_, i) => [shortValue(i), `day ${i >> 10}`]).flat();
  for (const text of new Set(held)) {
    expect(sealed.some((path) => mayHave(join(path, VALUES_FILE), value(text)))).toBe(true);
    expect(sealed.some((path) => mayHavePiece(join(path, PIECES_FILE), { type: 'piece', text, first: true }))).toBe(
      true,
    );
  }
});

test('a damaged, cut or missing filter never hides a call', async () => {
  using folder = new Folder();
  const [segment] = (await hours(folder.file('data'), 1, 500)) as [string];
  const path = join(segment, VALUES_FILE);
  const whole = readFileSync(path);
  const there = Array.from({ length: 20 }, (_, i) => value(`s0-${i * 25}-\u00e9`));
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), fc.boolean(), (at, flip, cut) => {
      const bytes = Buffer.from(cut ? whole.subarray(0, at) : whole);
      if (!cut) bytes[at]! ^= flip;
      writeFileSync(path, bytes);
      expect(there.every((sought) => mayHave(path, sought))).toBe(true);
    }),
    { numRuns: 200 },
  );
  rmSync(path);
  expect(mayHave(path, there[0]!)).toBe(true);
});

test('a search opens only segments that may have what it asks for', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  const segments = await hours(data, 6, 50);
  const reader = await new StoreRig(data).read();
  // Whoever opens another one finds no file, and leaves the segment out from then on.
  for (const [s, path] of segments.entries()) if (s !== 3) rmSync(join(path, CALLS_FILE));
  const found = async (filter: string): Promise<number> => {
    const answer = await queryCalls(reader, { filter });
    if (!answer.ok) throw new Error(answer.error.message);
    return answer.value.calls.length;
  };
  expect(await found('request.headers["x-request-id"] == "s3-7-\u00e9" && "host" in request.headers')).toBe(1);
  expect(await found('request.headers.host == "shared-3" || request.path == "/s9/1"')).toBe(50);
  expect(await found('"x-only-3" in request.headers')).toBe(50);
  expect(await found('request.path == "/s3/4"')).toBe(1);
  expect(await found('request.headers["x-request-id"] == "none"')).toBe(0);
  expect(reader.segments).toHaveLength(segments.length);
  expect(await found('request.path.startsWith("/s")')).toBe(50);
  expect(reader.segments).toHaveLength(1);
  reader.close();
});
