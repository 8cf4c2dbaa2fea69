/**
 * One direction of a TLS connection: what its records are, under which keys, and where their content goes.
 *
 *     clear ──ServerHello (1.3), ChangeCipherSpec (1.2)──▶ protected (see direction-keys.ts)
 *
 * After lost bytes the next record is searched, and its number with it (see step.ts).
 */
import type { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import type { Direction } from '../model/segment.ts';
import type { StreamEnd } from '../model/stages.ts';
import type { TlsUnreadCause } from '../model/tls.ts';
import type { TlsConnection } from './connection.ts';
import { Content } from './content.ts';
import { AROUND_CONTENT_BYTES, BEGINNING_BYTES, beginsLikeHttp, typeOfCut } from './cut-record.ts';
import { DirectionKeys, FIRST_TRIES_MAX, type Met, OPENED, SKIPPED, STUCK, UNREAD } from './direction-keys.ts';
import { HANDSHAKE, HandshakeReader, type HandshakeSink } from './handshake.ts';
import type { RecordProtection } from './protection.ts';
import {
  CONTENT,
  endsOrGoesOn,
  isContentType,
  isHeader,
  type Pieces,
  RecordReader,
  type RecordSink,
} from './records.ts';
import type { SecretLabel } from './secrets.ts';
import { Step } from './step.ts';
import { HEADER_BYTES } from './workspace.ts';

/** Records at the beginning of an epoch whose tags are checked, whatever the policy. */
const VERIFIED_FIRST = 2;

export class TlsDirection implements RecordSink, HandshakeSink {
  readonly direction: Direction;
  readonly reader = new RecordReader(this);
  readonly keys: DirectionKeys;
  readonly content: Content;
  readonly #connection: TlsConnection;
  readonly #messages = new HandshakeReader(this);
  readonly #step = new Step();
  /** Records are protected, whether or not there are keys. */
  protected = false;
  /** It cannot go on without a secret: nothing of it is delivered until one comes or the connection gives up. */
  stuck = false;
  ended = false;
  /** Early data that the server's HelloRetryRequest refused: passed over until the next ClientHello. */
  discard = false;
  /** Bytes lost before keys were in use. */
  #lostClear = 0;
  /** Bytes that the kernel left out while there were no keys: unread like the records around them. */
  #leftOut = 0;
  #ending = false;

  constructor(connection: TlsConnection, direction: Direction) {
    this.#connection = connection;
    this.direction = direction;
    this.keys = new DirectionKeys(connection, direction);
    this.content = new Content(connection, direction);
  }

  /** What is left of the epochs is the application's data. */
  get atApplication(): boolean {
    return this.protected && this.keys.epochs.length <= 1;
  }

  /** From the next record on: TLS 1.3 with these epochs. */
  protect13(epochs: readonly SecretLabel[]): void {
    this.protected = true;
    this.keys.epochs = [...epochs];
  }

  record(memory: Memory, at: number, size: number, pieces: Pieces): boolean {
    const type = memory.view.getUint8(at);
    const connection = this.#connection;
    if (!this.protected) {
      this.#clear(type, memory, at, size, pieces);
      return true;
    }
    if (connection.negotiation.tls13 && type !== CONTENT.APPLICATION_DATA) {
      // ChangeCipherSpec for middleboxes (RFC 8446 D.4), an alert before keys, a second ClientHello after early data.
      if (pieces.holes > 0) return true;
      if (type === CONTENT.HANDSHAKE)
        this.#messages.take(memory, at + HEADER_BYTES, size - HEADER_BYTES, pieces.ts[0]!);
      else this.content.clearAlert(type, memory, at, size);
      return true;
    }
    if (this.discard) return true;
    if (connection.blocks(this)) return false;
    connection.negotiation.protectedRecord(this, pieces.ts[0]!);
    return this.#protectedRecord(memory, at, size, pieces);
  }

  #clear(type: number, memory: Memory, at: number, size: number, pieces: Pieces): void {
    const connection = this.#connection;
    if (type === CONTENT.HANDSHAKE) {
      if (pieces.holes > 0) {
        this.#messages.reset();
        connection.negotiation.lost(false);
      } else this.#messages.take(memory, at + HEADER_BYTES, size - HEADER_BYTES, pieces.ts[0]!);
    } else if (type === CONTENT.CHANGE_CIPHER_SPEC) connection.negotiation.changeCipherSpec(this);
    else if (type === CONTENT.APPLICATION_DATA) this.#unread(size, 'handshake_unseen', pieces);
    else if (pieces.holes === 0) this.content.clearAlert(type, memory, at, size);
  }

  #protectedRecord(memory: Memory, at: number, size: number, pieces: Pieces): boolean {
    const connection = this.#connection;
    const { keys } = this;
    const met = pieces.holes > 0 ? this.#meetCut(memory, at, size, pieces) : this.#meet(memory, at, size);
    if (met === STUCK) {
      if (keys.givenUp === null && !connection.gaveUp) return this.#wait(pieces);
      keys.met++;
      this.#unread(size, connection.cause(), pieces);
      return true;
    }
    this.stuck = false;
    keys.proceed();
    if (met === UNREAD) this.#unread(size, keys.givenUp ?? connection.cause(), pieces);
    if (met !== OPENED) {
      keys.met++;
      return true;
    }
    this.#leftOut = 0;
    return this.#opened(keys.current!, size, pieces);
  }

  /** Until a secret comes, or the connection gives up. */
  #wait(pieces: Pieces): false {
    this.stuck = true;
    this.#connection.waits(pieces.ts[0]!);
    return false;
  }

  #opened(keys: RecordProtection, size: number, pieces: Pieces): boolean {
    const connection = this.#connection;
    const isContent = keys.type === CONTENT.APPLICATION_DATA;
    const isEarly = isContent && this.keys.epochs[0] === 'CLIENT_EARLY_TRAFFIC_SECRET';
    const accepted = isEarly ? connection.negotiation.earlyData : true;
    if (accepted === null && !connection.gaveUp) return this.#wait(pieces);
    keys.sequence++;
    if (accepted === false) return true;
    connection.shared.counters.records++;
    if (isContent) {
      this.content.deliver(keys, pieces, this.reader.position);
      this.content.recordEnds(this.reader.position + size);
      return true;
    }
    if (pieces.holes > 0) return true;
    if (keys.type === CONTENT.HANDSHAKE) this.#messages.take(connection.memory, keys.at, keys.bytes, pieces.ts[0]!);
    else if (keys.type === CONTENT.ALERT) this.content.alert(keys, pieces.ts[0]!);
    else if (keys.type === CONTENT.CHANGE_CIPHER_SPEC) connection.negotiation.changeCipherSpec(this);
    return true;
  }

  /** Opens a whole record, under the present keys or under those that fit it. */
  #meet(memory: Memory, at: number, size: number): Met {
    const { keys } = this;
    const { current } = keys;
    if (current === null) return keys.givenUp === null ? keys.bind(memory, at, size) : UNREAD;
    const { shared } = this.#connection;
    const between = keys.epochs.length > 1;
    const doubted = between || this.#step.unsure || current.cipher.mode === 'ccm';
    const verify = shared.verifyAlways || doubted || current.sequence < VERIFIED_FIRST;
    this.#step.unsure = false;
    if (current.open(memory, at, size, verify) && isContentType(current.type)) {
      if (verify) shared.counters.verified++;
      return OPENED;
    }
    if (!verify && current.open(memory, at, size, true) && isContentType(current.type)) {
      shared.counters.verified++;
      return OPENED;
    }
    // A missing message may have ended the epoch; then the next one's keys open the record.
    if (between && keys.bind(memory, at, size) === OPENED) return OPENED;
    shared.counters.refused++;
    if (keys.epochs.length > 1) return keys.skip(size);
    this.#connection.unread('out_of_step');
    shared.losses.lose('desync', 1, size);
    this.#lost(size, 'desync');
    return SKIPPED;
  }

  /**
   * A record of which parts are missing, so that nothing vouches for what is there. Only where the kernel left out its end
   * on purpose is the beginning read, and only under keys that are known to be the right ones; else it is a loss.
   */
  #meetCut(memory: Memory, at: number, size: number, pieces: Pieces): Met {
    const { keys } = this;
    const connection = this.#connection;
    const deliberate = !connection.shared.verifyAlways && pieces.isCut;
    const current = keys.current ?? (deliberate ? this.#firstKeys(memory, at, size, pieces) : null);
    if (current === null) {
      if (keys.givenUp !== null) return UNREAD;
      if (!keys.hasSecret) return connection.gaveUp ? UNREAD : STUCK;
      return this.#passCut(memory.view.getUint8(at), size, pieces);
    }
    if (keys.epochs.length > 1) {
      const met = this.#passCut(CONTENT.APPLICATION_DATA, size, pieces);
      if (met === SKIPPED) current.sequence++;
      return met;
    }
    let type: number = connection.negotiation.tls13 ? 0 : memory.view.getUint8(at);
    if (current.seekable && current.openPart(memory, at, size, pieces.known, pieces.holesEnd)) {
      if (current.type === 0) current.type = typeOfCut(connection.memory, current, pieces.whole, this.#isClient);
      if (deliberate && current.type !== 0) return OPENED;
      type = current.type;
    }
    // The number of records is known; of this one neither content nor, perhaps, type.
    if (type === 0 || type === CONTENT.APPLICATION_DATA)
      this.content.gap(current.usualContent(size), pieces.firstHole, pieces.ts[pieces.count - 1]!);
    else this.#messages.reset();
    current.sequence++;
    this.content.recordEnds(this.reader.position + size);
    return SKIPPED;
  }

  /** Passes over a cut record of which it cannot be known, or not yet, which epoch it is of (TLS 1.3), or that no keys are confirmed by. */
  #passCut(type: number, size: number, pieces: Pieces): Met {
    const { negotiation, gaveUp } = this.#connection;
    const content = negotiation.tls13 ? this.atApplication : type === CONTENT.APPLICATION_DATA;
    const early = this.keys.epochs[0] === 'CLIENT_EARLY_TRAFFIC_SECRET';
    if (early && negotiation.earlyData === null && !gaveUp) return STUCK;
    this.#messages.reset();
    if (!this.atApplication) negotiation.lost(true);
    if (content || (early && negotiation.earlyData !== false)) {
      this.content.gap(Math.max(0, size - AROUND_CONTENT_BYTES), pieces.firstHole, pieces.ts[0]!);
      this.content.recordEnds(this.reader.position + size);
    }
    return SKIPPED;
  }

  /**
   * The kernel cut the very first record under an epoch's keys, whose tag would have confirmed them. The handshake was read to
   * its end, so which record it is is known; the keys are taken if what they give begins like HTTP, which no wrong key gives.
   */
  #firstKeys(memory: Memory, at: number, size: number, pieces: Pieces): RecordProtection | null {
    if (pieces.whole < HEADER_BYTES + BEGINNING_BYTES) return null;
    const keys = this.keys.unconfirmed();
    if (keys === null || !keys.seekable) return null;
    keys.sequence = 0;
    if (!keys.openPart(memory, at, size, pieces.whole, size)) return null;
    if (!beginsLikeHttp(this.#connection.memory, keys.at, this.#isClient)) return null;
    this.keys.take(keys);
    return keys;
  }

  get #isClient(): boolean {
    return this.direction === this.#connection.negotiation.client;
  }

  lost(bytes: number, why: LossReason | 'left_out', ts: number): void {
    this.#messages.reset();
    if (!this.atApplication) this.#connection.negotiation.lost(this.protected);
    if (!this.protected) {
      // Told before keys were in use: a part of the handshake, which is no content, but perhaps early data.
      if (why === 'left_out') this.#leftOut += bytes;
      this.#lostClear += bytes;
      this.reader.searching = true;
      // With the handshake's end its answer may be among them (TLS 1.2).
      if (this.#connection.hasAsked(this)) this.content.gap(bytes, why, ts);
      return;
    }
    if (this.#step.bytes === 0) this.#step.since = ts;
    this.#lost(bytes, why);
  }

  #lost(bytes: number, why: LossReason | 'left_out'): void {
    this.#step.lose(bytes, why);
    this.reader.searching = true;
  }

  passed(records: number): boolean {
    const { current, epochs } = this.keys;
    if (current === null || epochs.length > 1) return false;
    const asked = !this.#connection.beforeAsked(this, this.reader.position);
    return this.#step.take(current, records, this.content, this.reader.position, asked);
  }

  dropped(bytes: number): void {
    if (this.protected) this.#step.bytes += bytes;
    this.#connection.shared.losses.lose('desync', 1, bytes);
  }

  find(memory: Memory, from: number, end: number): number {
    for (let at = from; at + HEADER_BYTES <= end; at++) {
      if (!isHeader(memory, at)) continue;
      const size = HEADER_BYTES + memory.view.getUint16(at + 3);
      if (at + size > end) return -1 - at;
      const keys = this.keys.current;
      if (keys !== null ? this.#inStep(keys, memory, at, size) : endsOrGoesOn(memory, at + size, end)) {
        this.#found(at);
        return at;
      }
      if (this.keys.givenUp !== null) return -1 - end;
    }
    return -1 - Math.max(from, end - HEADER_BYTES + 1);
  }

  /** Whether the record at `memory[at]` is the one that `keys` go on with. */
  #inStep(keys: RecordProtection, memory: Memory, at: number, size: number): boolean {
    const connection = this.#connection;
    const step = this.#step;
    const lost = step.find(keys, memory, at, size, connection.shared.counters);
    if (lost === -2) this.keys.giveUp('out_of_step');
    if (lost < 0) return false;
    const before = connection.beforeAsked(this, this.reader.position + at);
    this.content.gap(before ? 0 : lost, step.why, step.since);
    return true;
  }

  #found(skipped: number): void {
    const step = this.#step;
    const { keys } = this;
    if (keys.current === null) {
      // How many records were lost is not known; the first one that keys open tells.
      const lost = step.bytes + skipped;
      keys.met += Math.max(1, Math.min(FIRST_TRIES_MAX, Math.ceil(lost / 64)));
      if (step.why === 'left_out') this.#leftOut += lost;
      const connection = this.#connection;
      const early = connection.negotiation.tls13 && connection.facts.resumed === true ? this.#lostClear : 0;
      this.#lostClear = 0;
      if (this.protected && !connection.beforeAsked(this, this.reader.position + skipped))
        this.content.gap(lost + early, step.why, step.since);
    }
    step.bytes = 0;
  }

  malformed(): boolean {
    if (this.keys.current !== null) return false;
    this.#connection.unread('malformed');
    return !this.protected;
  }

  ignored(bytes: number): void {
    if (!this.ended) this.#connection.unreadBytes(this.keys.givenUp ?? 'malformed', bytes);
  }

  take(bytes: number): Memory | null {
    return this.#connection.shared.take(bytes);
  }

  give(slab: Memory, again: boolean): void {
    this.#connection.shared.give(slab, again);
  }

  // --- HandshakeSink

  handshake(type: number, memory: Memory, at: number, length: number, whole: number, ts: number): void {
    const { negotiation } = this.#connection;
    if (type === HANDSHAKE.KEY_UPDATE && negotiation.tls13) this.keys.update();
    else negotiation.message(this, type, memory, at, length, whole, ts);
  }

  piece(type: number, memory: Memory, at: number, bytes: number): void {
    this.#connection.negotiation.piece(this, type, memory, at, bytes);
  }

  #unread(size: number, cause: TlsUnreadCause, pieces: Pieces): void {
    // What was never sent of a record cut by the end is none of the connection's bytes.
    this.#connection.unreadBytes(cause, (this.#ending ? pieces.known : size) + this.#leftOut);
    this.#leftOut = 0;
    this.content.gap(Math.max(0, size - AROUND_CONTENT_BYTES), 'tls_no_secret', pieces.ts[0]!);
    this.content.recordEnds(this.reader.position + size);
  }

  end(how: StreamEnd, ts: number): void {
    if (this.ended) return;
    this.ended = true;
    const { keys } = this;
    const step = this.#step;
    this.#endReader(how === 'fin' ? 'desync' : 'gap', ts);
    if (keys.skipped > 0 && keys.current === null) {
      this.#connection.unreadBytes('wrong_secret', keys.skipped);
      this.content.gap(keys.skipped, 'tls_no_secret', ts);
    }
    if (step.bytes > 0 && this.protected) this.content.gap(step.bytes, step.why, step.since);
    this.close();
  }

  /** What is there of a record that never became whole cannot be vouched for. */
  #endReader(why: LossReason, ts: number): void {
    const { reader, keys } = this;
    const { partial, searching, sized } = reader;
    const connection = this.#connection;
    this.#ending = true;
    if (keys.current !== null && partial > 0) connection.shared.losses.lose(why, 1, partial);
    reader.end(why, ts);
    if (keys.current !== null) return;
    const lost = searching && this.#step.why === 'left_out' ? this.#step.bytes : 0;
    const rest = this.#leftOut + lost + (searching || !sized ? partial : 0);
    if (rest > 0) connection.unreadBytes(keys.givenUp ?? connection.cause(), rest);
  }

  /** Zeroes and frees keys. */
  close(): void {
    this.keys.close();
    this.reader.close();
  }
}
