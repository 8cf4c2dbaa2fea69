import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Rig } from '../../test/unit/tcp/rig.ts';
import { EGRESS, INGRESS, TCP_FIN, TCP_RST, TCP_SYN } from '../model/segment.ts';
import { LIVE_LIMITS } from './context.ts';

const text = (rig: Rig): string => rig.last.ingress.text;

/** Cuts `stream` into segments, some of them repeated or overlapping; every byte is in at least one. */
const cutting = (length: number): fc.Arbitrary<[number, number][]> =>
  fc
    .tuple(
      fc.array(fc.integer({ min: 1, max: length - 1 }), { maxLength: 12 }),
      fc.array(fc.tuple(fc.nat(length - 1), fc.integer({ min: 1, max: 40 })), { maxLength: 8 }),
    )
    .map(([cuts, extra]) => {
      const edges = [...new Set([0, ...cuts, length])].sort((a, b) => a - b);
      const whole = edges.slice(1).map((to, i): [number, number] => [edges[i]!, to]);
      return [...whole, ...extra.map(([from, n]): [number, number] => [from, Math.min(length, from + n)])];
    });

describe('any segmentation, duplication, reordering and overlap', () => {
  const LENGTH = 120;
  const stream = Array.from({ length: LENGTH }, (_, i) => String.fromCharCode(33 + ((i * 7) % 90))).join('');

  it('gives the same bytes', () => {
    fc.assert(
      fc.property(
        cutting(LENGTH).chain((c) => fc.shuffledSubarray(c, { minLength: c.length })),
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.boolean(),
        (segments, isn, offline) => {
          const rig = new Rig({ offline }).send({ seq: isn, flags: TCP_SYN });
          for (const [from, to] of segments) rig.send({ seq: isn + 1 + from, data: stream.slice(from, to) });
          rig.send({ seq: isn + 1 + LENGTH, flags: TCP_FIN });
          rig.tracker.finish();
          expect(text(rig)).toBe(`${stream}$fin`);
          expect(rig.losses.totals()).toEqual([]);
          expect(rig.faults).toEqual([]);
          expect(rig.unaccounted).toBe(0);
          expect(rig.tracker.held).toBe(0);
        },
      ),
      { numRuns: 1500 },
    );
  });

  it('gives the bytes that are there, in place, when segments miss', () => {
    fc.assert(
      fc.property(
        cutting(LENGTH).chain((c) => fc.shuffledSubarray(c)),
        fc.boolean(),
        (segments, offline) => {
          const rig = new Rig({ offline }).send({ seq: 0, flags: TCP_SYN });
          const seen = new Array<boolean>(LENGTH).fill(false);
          for (const [from, to] of segments) {
            rig.send({ seq: 1 + from, data: stream.slice(from, to) });
            seen.fill(true, from, to);
          }
          rig.send({ seq: 1 + LENGTH, flags: TCP_FIN });
          rig.tracker.finish();
          let expected = '';
          for (let i = 0; i < LENGTH; ) {
            let n = 0;
            while (i + n < LENGTH && !seen[i + n]) n++;
            expected += n > 0 ? `<gap ${n}>` : stream[i];
            i += n || 1;
          }
          expect(text(rig)).toBe(`${expected}$fin`);
          expect(rig.unaccounted).toBe(0);
          const missing = seen.filter((s) => !s).length;
          expect(rig.losses.totals().reduce((n, l) => n + l.bytes, 0)).toBe(missing);
        },
      ),
      { numRuns: 1500 },
    );
  });
});

describe('a hostile peer', () => {
  it('gets no more memory than the bounds say', () => {
    for (const offline of [false, true]) {
      const rig = new Rig({ offline });
      let state = 12_345;
      const random = (n: number): number => {
        state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fff_ffff;
        return state % n;
      };
      const data = Buffer.alloc(1400, 'x');
      let most = 0;
      for (let i = 0; i < 100_000; i++) {
        const flags = random(400) === 0 ? TCP_FIN : random(2000) === 0 ? TCP_RST : random(500) === 0 ? TCP_SYN : 0;
        rig.send({
          dir: random(2) === 0 ? INGRESS : EGRESS,
          remotePort: random(20),
          seq: random(8) === 0 ? random(0x7fff_ffff) * 2 : random(3_000_000),
          ...(random(2) === 0 ? { ack: random(3_000_000) } : {}),
          data: data.subarray(0, random(1400)),
          length: 1400,
          flags,
          ts: i * 1e5,
        });
        most = Math.max(most, rig.tracker.held);
      }
      rig.tracker.finish();
      expect(most).toBeGreaterThan(0);
      expect(most).toBeLessThanOrEqual(20 * 2 * (LIVE_LIMITS.holeBytes + 3000));
      expect(rig.tracker.held).toBe(0);
      expect(rig.faults).toEqual([]);
      expect(rig.unaccounted).toBe(0);
    }
  });
});
