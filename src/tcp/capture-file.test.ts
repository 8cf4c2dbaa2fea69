import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { handshake, Rig, type SegmentSpec } from '../../test/unit/tcp/rig.ts';
import { type Direction, EGRESS, INGRESS, TCP_SYN } from '../model/segment.ts';

describe('a capture file', () => {
  it('may hold the handshake after the data', () => {
    const rig = new Rig({ offline: true });
    rig.send({ seq: 1003, ack: 5000, data: 'def' }).send({ dir: EGRESS, seq: 5000, ack: 1006, data: 'OK' });
    rig.send({ seq: 1000, ack: 5000, data: 'abc' }).send({ dir: EGRESS, seq: 4999, ack: 1000, flags: TCP_SYN });
    rig.send({ seq: 999, flags: TCP_SYN });
    rig.tracker.finish();
    expect(rig.connections).toHaveLength(1);
    expect(rig.last.order).toEqual(['>abc', '>def', '<OK']);
    expect(rig.last.connection).toMatchObject({ start: 'opened', clientDirection: INGRESS });
    expect(rig.faults).toEqual([]);
  });

  it('waits no longer than 100 ms of its time for bytes that were acknowledged', () => {
    const rig = handshake(new Rig({ offline: true }));
    rig.send({ dir: EGRESS, seq: 5000, ack: 1010, data: 'OK', ts: 1e6 });
    expect(rig.last.egress.text).toBe('');
    rig.send({ dir: EGRESS, seq: 5002, ack: 1010, data: '!', ts: 102e6 });
    expect([rig.last.ingress.text, rig.last.egress.text]).toEqual(['<gap 10>', 'OK!']);
    expect(rig.losses.totals()).toEqual([{ reason: 'gap', count: 1, bytes: 10 }]);
  });

  it('gives a dialogue in its order however its packets are shuffled', () => {
    const turns = fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 10 });
    fc.assert(
      fc.property(
        turns,
        fc.integer({ min: 1, max: 9 }),
        fc.infiniteStream(fc.nat()),
        fc.boolean(),
        (lengths, size, random, syn) => {
          const next = [0xffff_fff0, 70_000];
          const segments: SegmentSpec[] = [];
          if (syn) {
            segments.push({ seq: next[0]! - 1, flags: TCP_SYN });
            segments.push({ dir: EGRESS, seq: next[1]! - 1, ack: next[0]!, flags: TCP_SYN });
          }
          const expected: string[] = [];
          for (const [turn, length] of lengths.entries()) {
            const dir = (turn % 2) as Direction;
            const body = String.fromCharCode(97 + turn).repeat(length);
            expected.push(`${dir === INGRESS ? '>' : '<'}${body}`);
            for (let at = 0; at < length; at += size) {
              segments.push({ dir, seq: next[dir]! + at, ack: next[1 - dir]!, data: body.slice(at, at + size) });
            }
            next[dir] = (next[dir]! + length) % 2 ** 32;
          }
          // Swaps within a window, the first packets of a joined stream apart.
          const shuffled = segments.map((s, i) => [i + (Number(random.next().value) % 8), s] as const);
          shuffled.sort((a, b) => a[0] - b[0]);
          const rig = new Rig({ offline: true });
          for (const [i, [, s]] of shuffled.entries()) rig.send({ ...s, ts: i * 1000 });
          rig.tracker.finish();
          expect(rig.faults).toEqual([]);
          expect(rig.connections).toHaveLength(1);
          const runs: string[] = [];
          for (const piece of rig.last.order) {
            if (runs.length > 0 && runs[runs.length - 1]![0] === piece[0]) runs[runs.length - 1] += piece.slice(1);
            else runs.push(piece);
          }
          expect(runs).toEqual(expected);
          expect(rig.losses.totals()).toEqual([]);
        },
      ),
      { numRuns: 1000 },
    );
  });
});
