/**
 * Decides when the ring is read. Under load by a timer: the kernel then never pays for a wake-up. How long it waits follows
 * what came: a look at few records costs several times as much for each of them, because by then the caches hold somebody
 * else's work; a look too late finds the ring half full, and the kernel side begins to leave out bodies. Should the ring fill up
 * sooner than it did before, the kernel wakes the reader.
 * When the ring has stayed empty for a while the reader says so in shared memory and waits in the event loop's epoll;
 * the next record wakes it. An idle agent does nothing at all but a safety look with whatever else it does once a second.
 */
import type { CaptureSink } from '../model/stages.ts';
import * as abi from './abi.ts';
import { onWake } from './libbpf.ts';
import { errnoName } from './posix.ts';
import type { Ring } from './ring.ts';

/** Records between two looks at the clock. */
const BATCH_RECORDS = 128;
/** After this long the event loop gets its turn: records that are costly to read must not keep the log, the store and whoever asks waiting. */
const GO_MS_MAX = 20;
/** A look should find this share of the ring in use: enough for a batch, far from the half at which bodies are left out. */
const FILL_WANTED = 1 / 8;
/** Bounds of the wait between looks while records keep coming. */
const WAIT_MS_MIN = 2;
const WAIT_MS_MAX = 24;
/** What a server may suddenly send in a millisecond and still find the ring less than half full, however calm it was before. */
const BURST_BYTES_PER_MS = 160_000;
/** Empty looks in a row before going to sleep. */
const EMPTY_LOOKS_MAX = 5;
/** A record could be published between our last look and the kernel's reading of the flag: look once more, when every core has long seen the flag. */
const SAFETY_LOOK_MS = 250;

export class RingReader {
  /** Times the kernel woke this reader up. */
  wakeups = 0;
  /** Takes what is read; may be exchanged between two looks. */
  sink: CaptureSink;
  readonly #ring: Ring;
  readonly #before: () => void;
  readonly #fd: number;
  #waking: { close(): void } | null = null;
  #timer: NodeJS.Timeout | null = null;
  #immediate: NodeJS.Immediate | null = null;
  #emptyLooks = 0;
  #running = false;
  #lastLookMs = 0;
  readonly #waitMsMax: number;

  /** @param ringFd the ring's descriptor, for epoll. @param before called before each batch: reads what the packets need. */
  constructor(ring: Ring, ringFd: number, sink: CaptureSink, before: () => void = () => {}) {
    this.#ring = ring;
    this.sink = sink;
    this.#before = before;
    this.#fd = ringFd;
    this.#waitMsMax = Math.max(WAIT_MS_MIN, Math.min(WAIT_MS_MAX, ring.size / 2 / BURST_BYTES_PER_MS));
  }

  start(): void {
    if (this.#running) return;
    const waking = onWake(this.#fd, this.#wake);
    if (typeof waking === 'number') throw new Error(`Cannot wait for the capture ring (${errnoName(waking)})`);
    this.#waking = waking;
    this.#running = true;
    this.#look();
  }

  /** Stops looking; what is in the ring stays there. */
  stop(): void {
    this.#running = false;
    this.#disarm();
    this.#ring.setReader(abi.READER_LOOKS);
    this.#waking?.close();
    this.#waking = null;
  }

  /** Reads everything that is in the ring now, without giving the event loop a turn. */
  drainAll(): number {
    let total = 0;
    for (;;) {
      const n = this.#batch();
      total += n;
      if (n < BATCH_RECORDS) return total;
    }
  }

  /**
   * What came until now, at most a batch. How far that is is asked first: what comes while `before` runs may need what
   * `before` did not see any more (packets whose secrets came a moment earlier).
   */
  #batch(): number {
    const { end } = this.#ring;
    this.#before();
    return this.#ring.drain(this.sink, BATCH_RECORDS, end);
  }

  #disarm(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    if (this.#immediate !== null) clearImmediate(this.#immediate);
    this.#timer = null;
    this.#immediate = null;
  }

  #look = (): void => {
    if (!this.#running) return;
    this.#disarm();
    this.#ring.setReader(abi.READER_LOOKS);
    const now = performance.now();
    const came = this.#ring.used;
    let n = this.#batch();
    let more = n === BATCH_RECORDS;
    while (more && performance.now() - now < GO_MS_MAX) {
      const further = this.#batch();
      n += further;
      more = further === BATCH_RECORDS;
    }
    const wait = this.#waitFor(came, now - this.#lastLookMs);
    this.#lastLookMs = now;
    this.#emptyLooks = n > 0 ? 0 : this.#emptyLooks + 1;
    if (more) this.#immediate = setImmediate(this.#look);
    else if (this.#emptyLooks < EMPTY_LOOKS_MAX || !this.#sleep()) {
      this.#ring.setReader(abi.READER_WAITS);
      this.#timer = setTimeout(this.#look, wait);
    }
  };

  /** Milliseconds after which the ring is as full as wanted, when it goes on as in the last `ms`, in which `bytes` came. */
  #waitFor(bytes: number, ms: number): number {
    const wait = bytes === 0 ? this.#waitMsMax : (this.#ring.size * FILL_WANTED * ms) / bytes;
    return Math.max(WAIT_MS_MIN, Math.min(this.#waitMsMax, wait));
  }

  #wake = (): void => {
    this.wakeups++;
    this.#look();
  };

  /** Goes to sleep; false when something came in the meantime. */
  #sleep(): boolean {
    this.#ring.setReader(abi.READER_SLEEPS);
    if (this.#ring.used > 0) return false;
    this.#timer = setTimeout(this.safetyLook, SAFETY_LOOK_MS);
    return true;
  }

  /** Whoever wakes anyway, about once a second, looks whether there is something that nobody woke this reader for. Costs a comparison. */
  readonly safetyLook = (): void => {
    if (this.#running && this.#emptyLooks >= EMPTY_LOOKS_MAX && this.#ring.used > 0) this.#look();
  };
}
