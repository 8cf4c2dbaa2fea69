/** Hostile segments of a few connections: no throw, the sinks' contract holds, every byte is accounted for. Seeded; HEADWATER_FUZZ sets how many. */
import { describe, expect, it } from 'vitest';
import { EGRESS, INGRESS } from '../../src/model/segment.ts';
import { LIVE_LIMITS } from '../../src/tcp/context.ts';
import { Rig } from '../unit/tcp/rig.ts';
import { Random } from './random.ts';

const SEGMENTS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000);
const SEGMENTS_PER_RUN = 200;
const DATA = Buffer.alloc(3000, 'x');
const EDGES = [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff, 1_000_000, 64 * 1024 * 1024 + 5];
const TOTAL = 300_000;

describe('hostile segments', () => {
  it(`keeps the rules over ${SEGMENTS} of them`, { timeout: 240_000 * Math.max(1, SEGMENTS / 200_000) }, () => {
    const random = new Random(19_811_201);
    const number = (): number => {
      switch (random.below(8)) {
        case 0:
          return EDGES[random.below(EDGES.length)]!;
        case 1:
          return random.next();
        default:
          return 1_000_000 + random.below(random.below(2) === 0 ? 500 : 100_000);
      }
    };
    for (let run = 0; run < SEGMENTS / SEGMENTS_PER_RUN; run++) {
      const offline = random.below(2) === 0;
      const limits = {
        ...LIVE_LIMITS,
        historyBytes: 20_000,
        causal: offline,
        totalBytes: random.below(4) === 0 ? 5000 : TOTAL,
      };
      const rig = new Rig({ offline, limits, connectionsMax: 3, idleNs: 60e9 });
      for (let i = 0; i < SEGMENTS_PER_RUN; i++) {
        const port = random.below(4);
        const captured = random.below(4) === 0 ? random.below(3000) : random.below(30);
        rig.send({
          dir: random.below(2) === 0 ? INGRESS : EGRESS,
          remotePort: port,
          flow: offline || random.below(5) === 0 ? 0 : port + 1,
          seq: number(),
          ...(random.below(3) > 0 ? { ack: number() } : {}),
          flags: random.below(6) === 0 ? random.below(8) : 0,
          data: DATA.subarray(0, captured),
          length: captured + (random.below(10) === 0 ? random.below(70_000) : 0),
          ts: random.below(20) === 0 ? -1 : random.below(4) === 0 ? random.below(1000) * 1e9 : i * 1e7,
          leftOut: random.below(20) === 0 ? random.below(100_000) : 0,
          lostBytes: random.below(20) === 0 ? random.below(100_000) : 0,
        });
        if (random.below(100) === 0) rig.tracker.tick(random.below(2000) * 1e9);
        if (!offline && random.below(50) === 0) {
          const kind = (['opened', 'closed', 'owner'] as const)[random.below(3)]!;
          rig.event(kind, random.below(5), {
            remotePort: port,
            leftOut: [random.below(9), 0],
            lostBytes: [0, random.below(9)],
          });
        }
        if (rig.tracker.held > limits.totalBytes) throw new Error(`run ${run}: ${rig.tracker.held} bytes held`);
      }
      rig.tracker.finish();
      const state = [rig.faults, rig.unaccounted, rig.tracker.held, rig.tracker.active];
      if (JSON.stringify(state) !== '[[],0,0,0]') throw new Error(`run ${run}: ${JSON.stringify(state)}`);
      expect(rig.connections.every((c) => c.ingress.text.includes('$') && c.egress.text.includes('$'))).toBe(true);
    }
  });
});
