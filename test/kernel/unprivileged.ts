/** Reads an inherited ring (descriptors 3 to 6) without privileges until its standard input ends and the ring is empty; reports as JSON. */
import { readFileSync } from 'node:fs';
import { takeAnchor } from '../../src/kernel/clock.ts';
import { Counters } from '../../src/kernel/counters.ts';
import { RingReader } from '../../src/kernel/reader.ts';
import { Ring } from '../../src/kernel/ring.ts';
import { INGRESS } from '../../src/model/segment.ts';

const descriptors = { ring: 3, counters: 4, control: 5, unheard: 6 };
const layout = JSON.parse(process.argv[2]!);
const opened = Ring.open(descriptors, layout, takeAnchor());
const counted = Counters.open(descriptors, layout);
if (!opened.ok || !counted.ok) throw new Error('cannot map what was inherited');
const ring = opened.value;
const counters = counted.value;

let segments = 0;
let requests = 0;
const reader = new RingReader(ring, descriptors.ring, {
  segment: (s) => {
    if (s.length === 0) return;
    segments++;
    if (s.direction === INGRESS) requests++;
  },
  socket: () => {},
});
reader.start();
process.stdout.write('ready\n');
let asked = false;
process.stdin.resume().once('end', () => {
  asked = true;
});
const timer = setInterval(() => {
  if (!asked || ring.used > 0) return;
  clearInterval(timer);
  reader.stop();
  const totals = counters.read();
  process.stdout.write(
    `${JSON.stringify({
      uid: process.getuid!(),
      capabilities: /^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1],
      segments,
      requests,
      malformed: ring.malformed,
      lost: totals.recordsLost,
      seenByCounters: totals.ledger.seen.segments,
    })}\n`,
  );
}, 100);
