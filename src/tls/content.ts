/** What comes out of one direction: decrypted bytes with their positions, times and acknowledgements, and what misses of them. */
import type { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import type { Direction } from '../model/segment.ts';
import { AckMap } from './ack-map.ts';
import { ALERT_BYTES, CLOSE_NOTIFY } from './alerts.ts';
import type { TlsConnection } from './connection.ts';
import type { RecordProtection } from './protection.ts';
import { CONTENT, type Pieces } from './records.ts';
import { Spares } from './spares.ts';
import { HEADER_BYTES } from './workspace.ts';

export class Content {
  readonly direction: Direction;
  /** Decrypted bytes so far, lost ones included. */
  bytes = 0;
  readonly acks = new AckMap();
  readonly #connection: TlsConnection;
  readonly #spares = new Spares();
  /** How much of the encrypted bytes the other side last acknowledged; -1: not known. */
  acknowledged = -1;
  /** Content is missing just before the next record: what was acknowledged of it was not known when it was. */
  #holed = false;
  #closed = false;

  constructor(connection: TlsConnection, direction: Direction) {
    this.#connection = connection;
    this.direction = direction;
  }

  /** Hands on what `keys` opened of a record that came in `pieces`, and began at `start` of the encrypted bytes. */
  deliver(keys: RecordProtection, pieces: Pieces, start: number): void {
    const { at, bytes } = keys;
    const connection = this.#connection;
    const sink = connection.inner().streams[this.direction];
    if (bytes === 0 || this.#closed) return;
    connection.delivered(this, pieces.ack[0]!);
    if (this.#holed && this.acknowledged === start) sink.followed?.(0, 0, true);
    this.#holed = pieces.holes > 0;
    const position = this.bytes;
    this.bytes += bytes;
    if (pieces.count === 1 && pieces.holes === 0) {
      const ack = connection.ack(this.direction, pieces.ack[0]!);
      sink.data(connection.memory, at, bytes, position, pieces.ts[0]!, ack);
    } else {
      const { prefixBytes } = keys;
      let from = 0;
      for (let i = 0; i < pieces.count && from < bytes; i++) {
        const last = i === pieces.count - 1;
        const to = last ? bytes : Math.min(bytes, Math.max(from, pieces.end[i]! - prefixBytes));
        if (to <= from) continue;
        const why = pieces.why[i]!;
        const ts = pieces.ts[i]!;
        if (why !== null) sink.gap(position + from, to - from, why, ts);
        else {
          const ack = connection.ack(this.direction, pieces.ack[i]!);
          sink.data(connection.memory, at + from, to - from, position + from, ts, ack);
        }
        from = to;
      }
    }
    connection.settled();
  }

  /** Content that will never come; who calls it has counted it. */
  gap(bytes: number, why: LossReason | 'left_out', ts: number): void {
    if (bytes <= 0 || this.#closed) return;
    const position = this.bytes;
    this.bytes += bytes;
    this.#holed = true;
    this.#connection.missing(this.direction, position, bytes, why, ts);
  }

  /**
   * An alert that `keys` opened. close_notify is the end of what the sender says, whatever TCP does afterwards: the peer often
   * closes first because of it, and what still comes is to be ignored (RFC 8446 6.1).
   */
  alert(keys: RecordProtection, ts: number): void {
    const { memory } = this.#connection;
    if (this.#closed || keys.bytes !== ALERT_BYTES) return;
    this.#connection.alerted(this.direction, memory, keys.at);
    if (memory.view.getUint8(keys.at + 1) !== CLOSE_NOTIFY) return;
    this.#closed = true;
    this.#connection.contentEnds(this.direction, 'fin', ts);
  }

  /** A whole record before there are keys, at `at`: one end says why there will be none. */
  clearAlert(type: number, memory: Memory, at: number, size: number): void {
    if (type === CONTENT.ALERT && size === HEADER_BYTES + ALERT_BYTES)
      this.#connection.alerted(this.direction, memory, at + HEADER_BYTES);
  }

  /** The record that ends at `position` of the encrypted bytes has given everything up to here. */
  recordEnds(position: number): void {
    this.acks.note(position, this.bytes);
    this.#connection.spare(this.direction, this.#spares, position);
  }
}
