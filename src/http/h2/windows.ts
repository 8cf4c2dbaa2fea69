/**
 * Flow control of one direction (RFC 9113 5.2): how much DATA its sender may still send, and how long it stood still because a
 * window was used up to the last octet. Only for connections of which every frame was seen: an update that is missing
 * would look like a receiver that takes no more.
 */
import { UNSEEN } from '../../base/clock.ts';
import type { Message } from '../../model/message.ts';

/** RFC 9113 6.9.2. */
const WINDOW_DEFAULT = 65_535;
/** Streams of which more is known than the initial window; updates may also come for streams that are over. */
const STREAMS_MAX = 1_024;

/** Times that DATA stood still because of one kind of window. */
export interface Stalls {
  count: number;
  /** Of these, those that last. */
  open: number;
  /** Time of those that are over, nanoseconds. */
  ns: number;
}

/** Of all connections: `stream` and `connection` windows apart; a body that waits for both is in both. */
export interface WindowStalls {
  readonly stream: Stalls;
  readonly connection: Stalls;
}

export const newStalls = (): Stalls => ({ count: 0, open: 0, ns: 0 });

export class SendWindows {
  readonly #stalls: WindowStalls;
  #initial = WINDOW_DEFAULT;
  #connection = WINDOW_DEFAULT;
  /** Since when the connection's window is used up; null: it is not. */
  #since: number | null = null;
  /** Streams whose window is used up, since when. */
  #still: Map<number, { readonly message: Message; readonly since: number }> | null = null;
  /** Octets granted to streams beyond the initial window, padding taken off. */
  #granted: Map<number, number> | null = null;

  constructor(stalls: WindowStalls) {
    this.#stalls = stalls;
  }

  /** A DATA frame of `length` octets, padding included, is sent. */
  sent(length: number): void {
    this.#connection -= length;
  }

  /** A DATA frame of `message` ended at `ts` that is not its last one. */
  goesOn(message: Message, ts: number): void {
    if (this.#connection <= 0 && this.#since === null) {
      this.#since = ts;
      begin(this.#stalls.connection);
    }
    if (this.#left(message) > 0 || this.#still?.has(message.streamId) === true) return;
    this.#still ??= new Map();
    this.#still.set(message.streamId, { message, since: ts });
    begin(this.#stalls.stream);
  }

  /** WINDOW_UPDATE of a stream, or of the connection (0), came at `ts`. */
  update(streamId: number, octets: number, ts: number): void {
    if (streamId !== 0) {
      this.#grant(streamId, octets);
      this.#look(streamId, ts);
      return;
    }
    this.#connection += octets;
    if (this.#connection > 0 && this.#since !== null) this.#flows(this.#since, ts);
  }

  /** `octets` of the padding of a stream's DATA. */
  padded(streamId: number, octets: number): void {
    this.#grant(streamId, -octets);
  }

  #grant(streamId: number, octets: number): void {
    this.#granted ??= new Map();
    const granted = this.#granted.get(streamId);
    if (granted === undefined && this.#granted.size >= STREAMS_MAX)
      this.#granted.delete(this.#granted.keys().next().value!);
    this.#granted.set(streamId, (granted ?? 0) + octets);
  }

  /** SETTINGS_INITIAL_WINDOW_SIZE holds for streams that are open, too. */
  initial(octets: number, ts: number): void {
    this.#initial = octets;
    if (this.#still !== null) for (const id of this.#still.keys()) this.#look(id, ts);
  }

  /** Nothing more comes on a stream; `idle`: on none that has begun. */
  ended(streamId: number, idle: boolean, ts: number): void {
    this.#granted?.delete(streamId);
    if (this.#still?.has(streamId) === true) this.#goesOn(streamId, ts);
    if (idle && this.#since !== null) this.#flows(this.#since, ts);
  }

  /** Nothing more is known of this direction: what stands still is over at `ts`. */
  close(ts: number): void {
    if (this.#since !== null) this.#flows(this.#since, ts);
    if (this.#still !== null) for (const id of this.#still.keys()) this.#goesOn(id, ts);
  }

  #flows(since: number, ts: number): void {
    over(this.#stalls.connection, since, ts);
    this.#since = null;
  }

  #left(message: Message): number {
    return this.#initial + (this.#granted?.get(message.streamId) ?? 0) - message.bodyBytes;
  }

  #look(streamId: number, ts: number): void {
    const still = this.#still?.get(streamId);
    if (still !== undefined && this.#left(still.message) > 0) this.#goesOn(streamId, ts);
  }

  #goesOn(streamId: number, ts: number): void {
    over(this.#stalls.stream, this.#still!.get(streamId)!.since, ts);
    this.#still!.delete(streamId);
  }
}

function begin(stalls: Stalls): void {
  stalls.count++;
  stalls.open++;
}

function over(stalls: Stalls, since: number, ts: number): void {
  stalls.open--;
  if (since !== UNSEEN && ts !== UNSEEN) stalls.ns += Math.max(0, ts - since);
}
