/** The store of a run: opened in the folder that the attacher handed over, and what is said of it from then on. */
import type { Worker } from 'node:worker_threads';
import type { Handover } from '../attacher/child.ts';
import type { ClockAnchor } from '../base/clock.ts';
import type { Config } from '../config/schema.ts';
import type { LossLedger } from '../model/loss.ts';
import type { SettledAnswer } from '../serve/api.ts';
import type { StoreEvent } from '../store/protocol.ts';
import type { StoreDamage } from '../store/recover.ts';
import { Store } from '../store/store.ts';

/** Calls are on the disk within a second, or it refuses them. */
const SETTLE_MS = 5_000;

export interface StoreParts {
  readonly start: Pick<Handover['start'], 'dataFd' | 'dataPath'>;
  readonly keep: Config['store']['keep'];
  readonly anchor: ClockAnchor;
  readonly run: string;
  readonly losses: LossLedger;
  /** The store's thread, started while its code could still be read; null when nothing is stored. */
  readonly worker: Worker | null;
  say(line: string): void;
}

/** Null: nothing is to be stored. A text: why the folder cannot be used, and what to do. */
export async function openStore({
  start,
  keep,
  anchor,
  run,
  losses,
  worker,
  say,
}: StoreParts): Promise<Store | string | null> {
  if (start.dataFd < 0 || worker === null) return null;
  const folder = `/proc/self/fd/${start.dataFd}`;
  const options = {
    anchor,
    run,
    losses,
    worker,
    retention: { ageMs: keep.age > 0 ? keep.age / 1e6 : null, bytes: keep.size > 0 ? keep.size : null },
    report: (event: StoreEvent) => say(eventText(event, start.dataPath)),
  };
  const opened = await Store.open(folder, options, Date.now());
  if (!opened.ok) return `${opened.message}\n  ${opened.hint}`.replaceAll(folder, start.dataPath);
  for (const damage of opened.store.damage) say(damageText(damage, start.dataPath));
  return opened.store;
}

/** Answers once every call that was seen so far is on the disk. */
export const settledIn = (store: Store, data: string) => async (): Promise<SettledAnswer> =>
  (await store.settled(SETTLE_MS))
    ? { ok: true, value: { data } }
    : { ok: false, error: { type: 'timeout', message: `${data} takes no calls at the moment: is the disk full?` } };

function eventText(event: StoreEvent, data: string): string {
  switch (event.type) {
    case 'write_failed':
      return `cannot write to the store in ${data} (${event.file}: ${event.code}); calls go on being counted, what finds no room is lost (store_queue_full, store_write_failed)`;
    case 'recovered':
      return `the store in ${data} can be written again`;
    case 'seal_failed':
      return `segment ${event.segment} of the store in ${data} could not be sealed: ${event.code}; its log stays, and is sealed later`;
    case 'segment_gone':
      return `segment ${event.segment} of the store in ${data} is gone with its ${event.calls} calls (${event.code}): the folder was removed while it was written; start the agent again`;
    case 'roll_up_failed':
      return `statistics of the store in ${data} could not be merged into hours: ${event.code}; reports over them take longer, and it is tried again`;
    case 'damage':
      return damageText(event.damage, data);
  }
}

function damageText(damage: StoreDamage, data: string): string {
  switch (damage.type) {
    case 'torn':
      return `store in ${data}: ${damage.file} was cut short: ${damage.bytes} bytes with ${damage.calls} calls were set aside`;
    case 'unreadable':
      return `store in ${data}: ${damage.file} cannot be read and was set aside`;
    case 'uncommitted':
      return `store in ${data}: the last run was killed at ${new Date(damage.atMs).toISOString()}; ${damage.calls} calls or more had not reached the disk`;
  }
}
