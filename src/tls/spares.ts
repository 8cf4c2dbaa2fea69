/**
 * Tells the source how far nobody needs what one direction carries: most of a long download is a body that is only counted, and
 * need not be copied, read and decrypted for that.
 *
 * A record is longer than its content, so content that is spared up to some byte spares as many bytes on the wire at least. What
 * this falls short of is made good as records end: their headers come all the same.
 */
import type { Wire } from '../model/connection.ts';
import type { Direction } from '../model/segment.ts';
import type { StreamSink } from '../model/stages.ts';

/** Shorter records are copied whatever the source is told. */
const LONG_BYTES = 4_096;
/** Telling costs a microsecond; so much must be gained by it. */
const GAIN_BYTES = 64 << 10;
/** Positions come round after 2^32: what is told lies no farther ahead, and is told anew before it could be taken for something ahead again. */
const AHEAD_BYTES_MAX = 2 ** 29;

export class Spares {
  /** Where the last record ended. */
  #position = 0;
  #told = -1;

  /** A record ended at `position` of `direction`, whose content `sink` has taken (null: nobody can read it); `before`: bytes before position 0. */
  recordEnds(position: number, sink: StreamSink | null, wire: Wire, direction: Direction, before: number): void {
    const bytes = position - this.#position;
    this.#position = position;
    const old = this.#told >= 0 && position - this.#told > AHEAD_BYTES_MAX;
    if (bytes < LONG_BYTES && !old) return;
    const spares = sink === null ? AHEAD_BYTES_MAX : (sink.spares?.() ?? 0);
    const until = position + Math.min(spares, AHEAD_BYTES_MAX);
    if (until - Math.max(position, this.#told) < GAIN_BYTES && !old) return;
    this.#told = until;
    wire.spare(direction, until + before);
  }
}
