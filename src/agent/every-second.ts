/** What an agent does once a second, whatever passes: one timer for all of it, because each waking of an idle process costs. */
import type { UnusedPages } from '../attacher/unused-pages.ts';
import { type KernelAnchor, sinceAnchor } from '../kernel/clock.ts';
import { trimHeap } from '../kernel/posix.ts';
import type { Fingerprinter } from '../redact/fingerprint.ts';
import type { Capture } from './capture.ts';
import type { KernelMaps } from './kernel-maps.ts';
import { LargeHeap } from './large-heap.ts';
import type { Owners } from './owners.ts';
import { QuietHeap } from './quiet-heap.ts';
import type { Statistics } from './statistics.ts';
import type { StatusKeeper } from './status.ts';
import type { StoreClock } from './store-clock.ts';
import type { StoreFeed } from './store-feed.ts';
import type { WallClock } from './wall-clock.ts';

const TICK_MS = 1_000;
/** Plain credentials leave the fingerprint cache after at most two of these. */
const FORGET_MS = 60_000;
/** From the first look at the ring to the moment when what starting needed is over. */
const SETTLED_MS = 1_000;
/** What a window of statistics had is worked out in pieces of this length, with pauses in which the ring is read. */
const WORK_MS = 2;
const WORK_PAUSE_MS = 6;

export interface EverySecondParts {
  readonly maps: KernelMaps;
  readonly anchor: KernelAnchor;
  readonly capture: Capture;
  readonly statistics: Statistics;
  readonly owners: Owners;
  readonly status: StatusKeeper;
  readonly wallClock: WallClock;
  /** null, both: nothing is stored. */
  readonly feed: StoreFeed | null;
  readonly storeClock: StoreClock | null;
  readonly prints: Fingerprinter;
  readonly unused: UnusedPages;
}

export class EverySecond {
  readonly #parts: EverySecondParts;
  readonly #heap = new LargeHeap();
  readonly #quiet = new QuietHeap();
  readonly #timer: NodeJS.Timeout;
  #ticks = 0;

  /** Begins at once. */
  constructor(parts: EverySecondParts) {
    this.#parts = parts;
    // What the statistics are of begins with the capture, not a second later.
    parts.statistics.tick(0);
    setTimeout(() => parts.unused.giveBack(), SETTLED_MS).unref();
    this.#timer = setInterval(() => this.#tick(), TICK_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #tick(): void {
    const { maps, anchor, capture, statistics, owners, status, wallClock, prints, unused } = this.#parts;
    const { feed, storeClock } = this.#parts;
    const now = sinceAnchor(anchor);
    if (maps.counters.read().recordsLost > 0)
      maps.unheard.tell(capture.pipeline.capture, maps.ring.used === 0 ? now : maps.ring.readUpTo);
    capture.tick(now);
    if (statistics.tick(now)) this.#work();
    owners.tick();
    status.tick();
    wallClock.tick();
    storeClock?.second();
    feed?.giveBack();
    // Whatever compiles or grows under such a load leaves malloc's heap full of holes.
    if (this.#heap.look()) trimHeap();
    if (this.#quiet.look(capture.pipeline.tracker.counters.segments)) unused.giveBack();
    else unused.look();
    if (++this.#ticks % (FORGET_MS / TICK_MS) === 0) prints.forget();
  }

  readonly #work = (): void => {
    if (this.#parts.statistics.work(WORK_MS)) setTimeout(this.#work, WORK_PAUSE_MS);
  };
}
