/**
 * Writes numbered calls into a data folder until somebody kills it: `node store-writer.ts FOLDER RUN`. Every quarter of a second
 * it prints how many calls had been taken a second ago, which is what a kill must not lose. Its hours last 300 ms, so that
 * segments are sealed all the time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ANCHOR, StoreRig } from '../unit/store-rig.ts';

const [folder, run] = process.argv.slice(2) as [string, string];
const HOUR_MS = 3_600_000;
const SPEED = HOUR_MS / 300;
const SAFE_MS = 1_000;
const BURST = 200;

const began = Date.now();
const now = (): number => Math.floor(1_795_363_445_000 + (Date.now() - began) * SPEED);
const rig = await new StoreRig(folder).open({ run, anchor: ANCHOR }, now());
process.stdout.write(`open ${JSON.stringify(rig.store.damage)}\n`);
const taken: [number, number][] = [];
let said = 0;
for (let n = 0; ; ) {
  for (let i = 0; i < BURST; i++) {
    const next = n + 1;
    rig.quietly({
      ordinal: next,
      request: { target: `/n/${next}`, headers: [['X-Number', String(next)]] },
      response: {},
    });
    // A call that found no room is counted as lost; its number goes to the next one.
    n = rig.store.writer.accepted;
  }
  rig.pass(now());
  // A pipe takes this at once.
  process.stdout.write(`taken ${n}\n`);
  taken.push([Date.now(), n]);
  if (Date.now() - said >= 250) {
    said = Date.now();
    while (taken.length > 1 && taken[1]![0] <= said - SAFE_MS) taken.shift();
    const safe = taken[0]![0] <= said - SAFE_MS ? taken[0]![1] : 0;
    process.stdout.write(`safe ${safe}\n`);
  }
  await sleep(20);
}
