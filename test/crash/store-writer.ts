/**
 * Writes numbered calls into a data folder until somebody kills it: `node store-writer.ts FOLDER RUN`. It prints how many calls the
 * writing thread has put on the disk, which is what a kill must not lose. Its hours last 300 ms, so that segments are sealed all the time.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ANCHOR, StoreRig } from '../unit/store-rig.ts';

const [folder, run] = process.argv.slice(2) as [string, string];
const HOUR_MS = 3_600_000;
const SPEED = HOUR_MS / 300;
const BURST = 200;
/** Batches are handed over as often as by themselves. */
const LOOK_MS = 250;

const began = Date.now();
/** With a fraction, as the agent's clock. */
const now = (): number => 1_795_363_445_000.25 + (Date.now() - began) * SPEED;
const rig = await new StoreRig(folder).open({ run, anchor: ANCHOR }, now());
process.stdout.write(`open ${JSON.stringify(rig.store.damage)}\n`);
/** Calls when the batches that hold the last of them were handed over; safe once none of these is on its way any more. */
let handed = { calls: 0, batches: [] as readonly number[], at: began };
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
  for (const event of rig.events.splice(0))
    if (event.type === 'seal_failed') process.stdout.write(`unsealed ${event.code}\n`);
  // A pipe takes this at once.
  process.stdout.write(`taken ${n}\n`);
  const { writer } = rig.store;
  if (Date.now() - handed.at >= LOOK_MS && !handed.batches.some((batch) => writer.onItsWay(batch))) {
    process.stdout.write(`safe ${handed.calls}\n`);
    handed = { calls: n, batches: writer.flush(), at: Date.now() };
  }
  await sleep(20);
}
