/**
 * The store's side in the thread that parses: encodes a call into a shared batch and goes on. Batches are handed to the worker
 * when they are full and several times a second; when all of them are on their way, calls are counted as lost, with the
 * reason, and nothing waits.
 */
import { writeSync } from 'node:fs';
import type { ClockAnchor } from '../base/clock.ts';
import type { Exchange } from '../model/exchange.ts';
import type { LossReason, LossSink, LossTotal } from '../model/loss.ts';
import type { WebSocketSession } from '../model/websocket.ts';
import type { Redacted } from '../redact/redacted.ts';
import { CallEncoder } from './call-encoder.ts';
import { type BatchMessage, SLAB_BYTES, SLABS, type StoreEvent, type ToWorker } from './protocol.ts';
import {
  KIND_HEADER,
  KIND_LEDGER,
  KIND_STATE,
  SEGMENT_ROWS_MAX,
  SEGMENT_WORD_BYTES_MAX,
  SEGMENT_WORDS_MAX,
  SEQUENCE_STRIDE,
  segmentBytesMax,
} from './record.ts';
import { RecordBuffer } from './record-buffer.ts';
import { HANDED_SEGMENTS, handedBytes } from './recover.ts';
import type { SegmentHeader, StateKey } from './segment.ts';
import { Slabs } from './slabs.ts';

export type { StateKey } from './segment.ts';

const HOUR_MS = 3_600_000;
const MS_PER_S = 1_000;
/** A batch goes to the disk at least this often. */
const FLUSH_MS = 250;
/** Ledger records that wait for room in a batch: a record of what was lost must not be lost itself, but counts can be added up. */
const LEDGER_WAITING_MAX = 256;

export interface WriterOptions {
  /** The file that says how far this run has come (recover.ts). Not cut: until the first trace is written, the last run's stands. */
  readonly handedFd: number;
  readonly anchor: ClockAnchor;
  /** First part of the ids of this run's calls. */
  readonly run: string;
  readonly losses: LossSink;
  readonly worker: { postMessage(message: ToWorker): void };
  readonly shared: SharedArrayBuffer;
  readonly nextSegment: number;
  /** Calls that the last run lost. */
  readonly owed: number;
}

interface LedgerEntry {
  secondMs: number;
  captured: number;
  reason: string;
  lost: number;
  bytes: number;
}

export class StoreWriter {
  /** Calls taken, and calls that found no room. */
  accepted = 0;
  lost = 0;
  readonly #losses: LossSink;
  readonly #worker: WriterOptions['worker'];
  readonly #encoder: CallEncoder;
  readonly #slabs: Slabs;
  readonly #handedFd: number;
  /** First segment of this run, and calls that the last one lost. */
  readonly #begun: { readonly first: number; readonly owed: number };
  /** Segments before this one, and their calls. */
  readonly #before: (readonly [number, number])[] = [];
  /** Calls accepted when the trace of this run was written last. */
  #marked = 0;
  readonly #anchor: ClockAnchor;
  /** The batch being filled; -1: none. */
  #slab = -1;
  #length = 0;
  #calls = 0;
  #firstSequence = 0;
  #segment: number;
  #openedMs = 0;
  /** Of the segment: calls and bytes so far; 0 bytes: it has not begun. */
  #rows = 0;
  #bytes = 0;
  #nowMs: number;
  #handedOverMs = 0;
  /** The disk refuses; what finds no room now is lost because of that. */
  #failing = false;
  /** The record at hand did not fit into an empty batch. */
  #tooLarge = false;
  readonly #record = new RecordBuffer(1 << 12);
  readonly #ledger: LedgerEntry[] = [];
  #seenExchanges = 0;
  readonly #seenLosses = new Map<LossReason, LossTotal>();

  constructor(options: WriterOptions, nowMs: number) {
    this.#losses = options.losses;
    this.#worker = options.worker;
    this.#anchor = options.anchor;
    this.#encoder = new CallEncoder(options.run);
    this.#slabs = new Slabs(options.shared);
    this.#segment = options.nextSegment;
    this.#nowMs = nowMs;
    this.#begun = { first: options.nextSegment, owed: options.owed };
    this.#handedFd = options.handedFd;
    this.#handed(false);
  }

  /** Takes a call; valid during the call only. */
  call(x: Redacted<Exchange>): void {
    // Not encoded when there is no batch to put it into: what it defines would have no place.
    if (this.#slab < 0 && !this.#begin()) {
      this.#lose();
      return;
    }
    const { words } = this.#encoder;
    if (
      this.#rows >= SEGMENT_ROWS_MAX ||
      this.#bytes >= segmentBytesMax(this.#rows) ||
      words.count >= SEGMENT_WORDS_MAX ||
      words.bytes >= SEGMENT_WORD_BYTES_MAX
    ) {
      this.#rotate();
      if (!this.#begin()) {
        this.#lose();
        return;
      }
    }
    const sequence = this.#segment * SEQUENCE_STRIDE + this.#rows;
    this.#encoder.encode(x, sequence);
    if (!this.#put(this.#encoder.row)) {
      this.#lose();
      return;
    }
    if (this.#calls === 0) this.#firstSequence = sequence;
    this.#calls++;
    this.#rows++;
    this.accepted++;
  }

  /** Takes a WebSocket that has ended, whose handshake is a call. */
  websocket(session: WebSocketSession): void {
    if (this.#slab < 0 && !this.#begin()) {
      this.#lose();
      return;
    }
    this.#encoder.session(session);
    if (!this.#put(this.#encoder.row)) this.#lose();
  }

  /** Takes a state; false: there was no room, try again at the next tick. */
  state(key: StateKey, state: Uint8Array): boolean {
    if (this.#slab < 0 && !this.#begin()) return false;
    const { words } = this.#encoder;
    const record = this.#record;
    record.length = 0;
    record.u8(KIND_STATE);
    record.f64(key.startMs);
    for (const text of [key.level, key.service, key.side, key.method, key.route, key.kind])
      record.u32(words.text(text));
    record.u32(state.length);
    record.bytes(state);
    return this.#put(record);
  }

  /**
   * To be called several times a second. `exchanges` and `losses` are the run's totals: what they grew by goes into the
   * ledger. Hands over what is there, and ends the segment with the hour.
   */
  tick(nowMs: number, exchanges: number, losses: readonly LossTotal[]): void {
    const hour = Math.floor(nowMs / HOUR_MS);
    if (this.#bytes > 0 && hour !== Math.floor(this.#openedMs / HOUR_MS)) this.#rotate();
    if (Math.floor(nowMs / MS_PER_S) !== Math.floor(this.#nowMs / MS_PER_S)) this.#count(exchanges, losses);
    this.#nowMs = nowMs;
    this.#flushLedger();
    // A batch that is handed over half full takes the place of a full one in the queue.
    if (nowMs < this.#handedOverMs || nowMs - this.#handedOverMs >= FLUSH_MS) this.#handOver();
    if (this.accepted !== this.#marked) {
      this.#marked = this.accepted;
      this.#handed(false);
    }
  }

  /** Batches on their way to the disk. */
  get waiting(): number {
    return this.#slabs.taken - (this.#slab < 0 ? 0 : 1);
  }

  /** Hands over what is there; returns the batches on their way. */
  flush(): number[] {
    this.#handOver();
    return Array.from({ length: SLABS }, (_, slab) => slab).filter((slab) => this.onItsWay(slab));
  }

  /** Whether batch `slab` is not on the disk yet. */
  onItsWay(slab: number): boolean {
    return slab !== this.#slab && !this.#slabs.isFree(slab);
  }

  /** Memory of batches that were not used since the last call: whoever calls may give its pages back. */
  idle(): Buffer[] {
    return this.#slabs.idle();
  }

  event(event: StoreEvent): void {
    if (event.type === 'write_failed') this.#failing = true;
    if (event.type === 'recovered') this.#failing = false;
    if (event.type === 'segment_gone') this.#losses.lose('store_write_failed', event.calls, 0);
  }

  /**
   * Entry of the ledger that no count of this run explains: what the last one lost. Before any call, so that it is in the first
   * batch: a start after a kill takes it for entered when that batch is on the disk.
   */
  note(atMs: number, reason: LossReason, lost: number, bytes: number): void {
    const secondMs = Math.floor(atMs / MS_PER_S) * MS_PER_S;
    this.#ledger.push({ secondMs, captured: 0, reason, lost, bytes });
    this.#flushLedger();
  }

  /** The last counts, and the last batch. */
  end(nowMs: number, exchanges: number, losses: readonly LossTotal[]): void {
    this.#nowMs = nowMs;
    this.#count(exchanges, losses);
    this.#flushLedger();
    this.#handOver();
  }

  /** Everything is on the disk: the next start has nothing to look for. */
  ended(): void {
    this.#handed(true);
  }

  #count(exchanges: number, losses: readonly LossTotal[]): void {
    const secondMs = Math.floor(this.#nowMs / MS_PER_S) * MS_PER_S;
    const captured = exchanges - this.#seenExchanges;
    this.#seenExchanges = exchanges;
    if (captured > 0) this.#enter({ secondMs, captured, reason: '', lost: 0, bytes: 0 });
    for (const total of losses) {
      const seen = this.#seenLosses.get(total.reason);
      const lost = total.count - (seen?.count ?? 0);
      const bytes = total.bytes - (seen?.bytes ?? 0);
      if (lost > 0 || bytes > 0) this.#enter({ secondMs, captured: 0, reason: total.reason, lost, bytes });
      this.#seenLosses.set(total.reason, { ...total });
    }
  }

  /** While nothing can be written, the seconds of one reason become one entry. */
  #enter(entry: LedgerEntry): void {
    if (this.#ledger.length >= LEDGER_WAITING_MAX) {
      const same = this.#ledger.find(({ reason }) => reason === entry.reason);
      if (same !== undefined) {
        same.captured += entry.captured;
        same.lost += entry.lost;
        same.bytes += entry.bytes;
        return;
      }
    }
    this.#ledger.push(entry);
  }

  #flushLedger(): void {
    let written = 0;
    for (const entry of this.#ledger) {
      if (this.#slab < 0 && !this.#begin()) break;
      const record = this.#record;
      record.length = 0;
      record.u8(KIND_LEDGER);
      record.f64(entry.secondMs);
      record.f64(entry.captured);
      record.u32(this.#encoder.words.text(entry.reason));
      record.f64(entry.lost);
      record.f64(entry.bytes);
      if (!this.#put(record)) break;
      written++;
    }
    this.#ledger.splice(0, written);
  }

  #lose(): void {
    this.lost++;
    const because = this.#failing ? 'store_write_failed' : 'store_queue_full';
    this.#losses.lose(this.#tooLarge ? 'store_too_large' : because, 1, 0);
    this.#tooLarge = false;
  }

  /** Takes a free batch, or the one at hand that nothing is in; false: there is none. */
  #begin(): boolean {
    if (this.#slab < 0) {
      this.#slab = this.#slabs.take();
      if (this.#slab < 0) return false;
    }
    this.#length = 0;
    this.#calls = 0;
    if (this.#bytes === 0) this.#header();
    return true;
  }

  /** First record of a segment. */
  #header(): void {
    this.#openedMs = this.#nowMs;
    const header: SegmentHeader = { anchor: this.#anchor.wallNs.toString(), openedMs: this.#openedMs };
    const record = this.#record;
    record.length = 0;
    record.u8(KIND_HEADER);
    record.counted(JSON.stringify(header));
    this.#copy(record);
  }

  /** What `record` needs defined, then `record`, into the batch or the next one; false: there is none, or it is too large. */
  #put(record: RecordBuffer): boolean {
    const { pending } = this.#encoder.words;
    const wanted = pending.length + record.length;
    if (this.#length + wanted > SLAB_BYTES) {
      this.#handOver();
      if (!this.#begin()) return false;
      if (this.#length + wanted > SLAB_BYTES) {
        // Its words are known from now on, so they must be written; they fit, because a batch is larger than any two heads.
        if (this.#length + pending.length <= SLAB_BYTES) this.#define();
        else this.#rotate();
        this.#tooLarge = true;
        return false;
      }
    }
    this.#define();
    this.#copy(record);
    return true;
  }

  #define(): void {
    const { pending } = this.#encoder.words;
    if (pending.length === 0) return;
    this.#copy(pending);
    pending.length = 0;
  }

  #copy(record: RecordBuffer): void {
    record.memory.buf.copy(this.#slabs.memory[this.#slab]!.buf, this.#length, 0, record.length);
    this.#length += record.length;
    this.#bytes += record.length;
  }

  #rotate(): void {
    this.#handOver();
    const message: ToWorker = { type: 'rotate', segment: this.#segment };
    this.#worker.postMessage(message);
    this.#before.push([this.#segment, this.#rows]);
    if (this.#before.length >= HANDED_SEGMENTS) this.#before.shift();
    this.#segment++;
    this.#rows = 0;
    this.#bytes = 0;
    this.#encoder.reset();
  }

  #handOver(): void {
    if (this.#slab < 0 || this.#length === 0) return;
    const message: BatchMessage = {
      type: 'batch',
      slab: this.#slab,
      length: this.#length,
      calls: this.#calls,
      firstSequence: this.#firstSequence,
      segment: this.#segment,
      openedMs: this.#openedMs,
    };
    this.#slab = -1;
    this.#handedOverMs = this.#nowMs;
    this.#worker.postMessage(message);
  }

  /** Leaves a trace of how far this run came, for the start after a kill. */
  #handed(clean: boolean): void {
    const { first, owed } = this.#begun;
    const segments = [...this.#before, [this.#segment, this.#rows] as const];
    const bytes = handedBytes({ atMs: this.#nowMs, clean, first, owed, segments });
    try {
      writeSync(this.#handedFd, bytes, 0, bytes.length, 0);
    } catch {
      // A full disk: the batch itself will tell.
    }
  }
}
