import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Batches, linesIn, wholeLines } from './batches.ts';

const BATCH = 256 << 10;

function fill(batches: Batches, lines: readonly string[]): void {
  for (const line of lines) {
    if (!batches.fits(line.length)) batches.close(line.length);
    const { open } = batches;
    open.buf.latin1Write(line, open.length);
    batches.added(line.length);
  }
  batches.close();
}

test('whatever a write takes of what it is given, every byte is written once, in order', () => {
  const line = fc.integer({ min: 1, max: 300_000 }).map((size) => `${'x'.repeat(size)}\n`);
  fc.assert(
    fc.property(
      fc.array(line, { minLength: 1, maxLength: 20 }),
      fc.array(fc.double({ min: 0.1, max: 1, noNaN: true }), { minLength: 1, maxLength: 8 }),
      fc.integer({ min: 1, max: 4 * BATCH }),
      (lines, shares, bytesMax) => {
        const batches = new Batches();
        fill(batches, lines);
        const text = lines.join('');
        expect(batches.bytes).toBe(text.length);
        let written = '';
        let at = 0;
        for (let i = 0; batches.first !== undefined; i++) {
          const given = Buffer.concat(batches.pieces(at, bytesMax));
          const first = batches.first.length - at;
          expect(given.length).toBeLessThanOrEqual(Math.max(bytesMax, first));
          // Now and then a single byte; always so few would take hours.
          const taken = i % 5 === 4 ? 1 : Math.max(1, Math.floor(given.length * shares[i % shares.length]!));
          written += given.latin1Slice(0, taken);
          at = batches.written(at + taken);
        }
        expect(at).toBe(0);
        expect(batches.bytes).toBe(0);
        expect(written === text).toBe(true);
      },
    ),
    { numRuns: 30 },
  );
});

test('of a torn batch the whole lines go, and the torn one stays from its beginning', () => {
  const batches = new Batches();
  fill(batches, ['one\n', 'two\n', 'three\n']);
  expect(wholeLines(batches.first!, 6)).toBe(4);
  batches.keepFrom(6);
  expect(batches.bytes).toBe(10);
  expect(batches.pieces(0, BATCH).map((piece) => piece.latin1Slice())).toEqual(['two\nthree\n']);
  fill(batches, ['four\n']);
  expect(batches.giveUp().map(linesIn)).toEqual([2, 1]);
  expect([batches.bytes, batches.first]).toEqual([0, undefined]);
});
