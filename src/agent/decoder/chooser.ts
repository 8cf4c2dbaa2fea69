/**
 * Chooses what a connection, or what a wrapping layer unwraps of it, speaks: holds back the first bytes until they
 * decide, then hands them and everything after them to what was chosen.
 */
import { Memory } from '../../base/memory.ts';
import { classifyBroken, classifyStart, continuesTls, isCutRequest, type StartKind } from '../../http/detect.ts';
import { beginsWithSettings, continuesSettings, framesOf } from '../../http/h2/detect.ts';
import { proxyHeaderBytes } from '../../http/proxy-protocol.ts';
import type { ConnectionStart } from '../../model/connection.ts';
import type { LossReason } from '../../model/loss.ts';
import { type Direction, EGRESS, INGRESS } from '../../model/segment.ts';
import type { ConnectionDecoder, StreamEnd, StreamSink } from '../../model/stages.ts';
import { isProtected } from '../../tls/records.ts';
import type { LayerFacts } from '../decoder.ts';
import type { Account } from './account.ts';
import { BehindConnection } from './behind.ts';
import { H1Connection } from './h1.ts';
import { H2Connection } from './h2.ts';
import { Opaque } from './opaque.ts';

/** Bytes kept while the first ones do not decide yet: a little more than http/detect needs at most. */
const UNDECIDED_BYTES_MAX = 2_304;
const UNDECIDED_BYTES_FIRST = 128;

/** What a direction's first bytes are; `h2_client` and `h2_server`: frames, without the preface; `proxied`: a PROXY header. */
type Kind = StartKind | 'h2_client' | 'h2_server' | 'proxied';

export class Chooser implements ConnectionDecoder {
  readonly streams: readonly [ChoosingStream, ChoosingStream];
  readonly account: Account;
  /** null: these are the connection's own bytes. */
  readonly facts: LayerFacts | null;
  /** Behind a PROXY header or in a tunnel: its first byte was seen, and it is not the one that says that the connection ended. */
  readonly behind: boolean;
  #chosen: ConnectionDecoder | null = null;

  constructor(account: Account, facts: LayerFacts | null, behind = false) {
    this.account = account;
    this.facts = facts;
    this.behind = behind;
    this.streams = [new ChoosingStream(this, INGRESS), new ChoosingStream(this, EGRESS)];
  }

  /** Asked late: a connection's opening is told after its decoder was made. */
  get start(): ConnectionStart {
    if (this.behind) return 'opened';
    return this.facts === null ? this.account.connection.start : this.facts.start;
  }

  tick(now: number): void {
    this.#chosen?.tick(now);
  }

  /** The bytes of `direction` begin as `kind` does. */
  decided(direction: Direction, kind: Kind): void {
    const { account, streams } = this;
    const { shared, connection } = account;
    if (kind === 'h1_request' || kind === 'h1_response') {
      const client: Direction = kind === 'h1_request' ? direction : other(direction);
      account.named(client);
      const starts = [streams[INGRESS].start, streams[EGRESS].start] as const;
      // TLS inside TLS is not opened: both would be decrypted to the same place.
      const tunnelled: LayerFacts | null = this.facts === null ? null : { secure: false, alpn: null, start: 'opened' };
      const inside = (): Chooser => new Chooser(account, tunnelled, true);
      const h1 = new H1Connection(account, client, starts, this.facts?.secure === true, inside);
      account.become('http');
      this.#tellMissed(h1);
      this.#choose(h1, client);
    } else if (kind === 'h2_preface' || kind === 'h2_client' || kind === 'h2_server') {
      const client: Direction = kind === 'h2_server' ? other(direction) : direction;
      account.named(client);
      const starts = [streams[INGRESS].start, streams[EGRESS].start] as [ConnectionStart, ConnectionStart];
      if (kind === 'h2_preface') starts[client] = 'opened';
      const h2 = new H2Connection(account, client, starts, this.facts?.secure === true);
      account.become('h2');
      this.#tellMissed(h2);
      h2.streams[client].overlooked(streams[client].overlooked);
      this.#choose(h2, client);
    } else if (kind === 'tls' && this.facts === null && shared.tls) {
      account.become('tls');
      this.#choose(
        shared.tls(connection, (facts) => new Chooser(account, facts)),
        direction,
      );
    } else if (kind === 'proxied') {
      const { header } = streams[direction];
      shared.notHttp.other += header;
      connection.proxyBytes = header;
      const before = direction === INGRESS ? ([header, 0] as const) : ([0, header] as const);
      this.#choose(new BehindConnection(new Chooser(account, null, true), before), direction);
    } else {
      if (kind === 'tls') account.become('tls');
      else if (account.guess !== 'switched') account.become('other');
      this.#choose(new Opaque(account), direction);
    }
  }

  #tellMissed(chosen: H1Connection | H2Connection): void {
    for (const by of [INGRESS, EGRESS] as const) {
      const { missed } = this.streams[by];
      if (missed !== null) chosen.streams[by].missed(missed.end - missed.length, missed.length, missed.why, missed.ack);
    }
  }

  /** Held bytes go to their parsers, those of `first` before the others. */
  #choose(chosen: ConnectionDecoder, first: Direction): void {
    this.#chosen = chosen;
    for (const by of [INGRESS, EGRESS] as const) this.streams[by].to = chosen.streams[by];
    this.streams[first].handOver();
    this.streams[other(first)].handOver();
  }

  ended(): void {
    if (this.facts === null && !this.behind) this.account.ended();
  }
}

const other = (direction: Direction): Direction => (direction === INGRESS ? EGRESS : INGRESS);

/** First bytes of a direction that do not decide yet. */
interface Undecided {
  memory: Memory;
  length: number;
  readonly position: number;
  readonly ts: number;
  readonly ack: number;
}

class ChoosingStream implements StreamSink {
  /** What was chosen; null: nothing yet. */
  to: StreamSink | null = null;
  /** Bytes that will never come, before it was known what they belong to. */
  missed: { length: number; end: number; why: LossReason | 'left_out'; ack: number } | null = null;
  readonly #chooser: Chooser;
  readonly #direction: Direction;
  /** Bytes of the PROXY header that it begins with. */
  header = 0;
  /** Bytes that came and were passed over. */
  overlooked = 0;
  /** A byte of this direction was passed over, or never came: what comes next need not begin a message. */
  #passed = false;
  #undecided: Undecided | null = null;
  #ended = false;

  constructor(chooser: Chooser, direction: Direction) {
    this.#chooser = chooser;
    this.#direction = direction;
  }

  get start(): ConnectionStart {
    return this.#passed ? 'joined' : this.#chooser.start;
  }

  handOver(): void {
    const held = this.#undecided;
    if (held === null) return;
    this.#undecided = null;
    this.to!.data(held.memory, 0, held.length, held.position, held.ts, held.ack);
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    if (this.to !== null) this.to.data(memory, offset, length, position, ts, ack);
    else if (this.#undecided !== null) this.#decideHeld(this.#undecided, memory, offset, length, position, ts, ack);
    else this.#decide(memory, offset, length, position, ts, ack);
  }

  #classify(memory: Memory, offset: number, length: number): Kind {
    const kind = classifyStart(memory, offset, length);
    if (kind === 'other') {
      const { view } = memory;
      if (this.start === 'opened') {
        // The server may speak first; whether the client understands is seen when it does.
        const settings = beginsWithSettings(view, offset, offset + length);
        if (settings !== 'no') {
          const enough = length >= UNDECIDED_BYTES_MAX || continuesSettings(view, offset, offset + length);
          return settings === 'yes' && enough ? 'h2_server' : 'need_more';
        }
      } else {
        if (this.#chooser.facts === null && continuesTls(view, offset, offset + length)) return 'tls';
        const by = framesOf(view, offset, offset + length);
        if (by !== null) return by === 'client' ? 'h2_client' : 'h2_server';
        if (this.#chooser.facts === null && isProtected(memory, offset, offset + length)) return 'tls';
      }
    }
    const first = this.start === 'opened' && this.#direction === this.#chooser.account.connection.clientDirection;
    if (kind !== 'other' || !first) return kind;
    if (this.#chooser.facts === null && !this.#chooser.behind) {
      this.header = proxyHeaderBytes(memory, offset, length);
      if (this.header !== 0) return this.header < 0 ? 'need_more' : 'proxied';
    }
    return classifyBroken(memory, offset, length);
  }

  /** The first segment of most connections decides: its bytes are not copied. */
  #decide(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    const kind = this.#classify(memory, offset, length);
    if (kind === 'need_more' && length < UNDECIDED_BYTES_MAX) {
      const held = Memory.alloc(Math.max(UNDECIDED_BYTES_FIRST, length));
      memory.buf.copy(held.buf, 0, offset, offset + length);
      this.#undecided = { memory: held, length, position, ts, ack };
      return;
    }
    if (this.#accept(kind, length)) this.to!.data(memory, offset, length, position, ts, ack);
  }

  #decideHeld(
    held: Undecided,
    memory: Memory,
    offset: number,
    length: number,
    position: number,
    ts: number,
    ack: number,
  ): void {
    const room = Math.min(length, UNDECIDED_BYTES_MAX - held.length);
    if (held.length + room > held.memory.size) {
      const larger = Memory.alloc(Math.min(UNDECIDED_BYTES_MAX, 2 * (held.length + room)));
      held.memory.buf.copy(larger.buf, 0, 0, held.length);
      held.memory = larger;
    }
    memory.buf.copy(held.memory.buf, held.length, offset, offset + room);
    held.length += room;
    const kind = this.#classify(held.memory, 0, held.length);
    if (kind === 'need_more' && held.length < UNDECIDED_BYTES_MAX) return;
    // From here on the held bytes are with what was chosen, or passed over.
    if (this.#accept(kind, held.length + length - room) && room < length) {
      this.to!.data(memory, offset + room, length - room, position + room, ts, ack);
    }
  }

  /** False: the `bytes` that were classified as `kind` begin nothing; they are counted. */
  #accept(kind: Kind, bytes: number): boolean {
    if ((kind === 'other' || kind === 'need_more') && this.start === 'joined') {
      // Joined in the middle, perhaps of a body: the next segment may begin a message.
      this.#passOver(bytes, this.#chooser.start === 'opened' ? 'desync' : 'joined_midstream');
      return false;
    }
    this.#chooser.decided(this.#direction, kind);
    return true;
  }

  #passOver(bytes: number, why: LossReason): void {
    this.#undecided = null;
    this.#passed = true;
    this.overlooked += bytes;
    const { account } = this.#chooser;
    if (account.guess === 'switched') account.count(bytes);
    else {
      account.shared.notHttp.undecided += bytes;
      account.shared.losses.lose(why, 1, bytes);
    }
  }

  gap(position: number, length: number, why: LossReason | 'left_out', ts: number, ack = -1): void {
    if (this.to !== null) {
      this.to.gap(position, length, why, ts, ack);
      return;
    }
    const held = this.#undecided;
    if (held !== null && why !== 'shed_head' && isCutRequest(held.memory, 0, held.length)) {
      this.#chooser.decided(this.#direction, 'h1_request');
      this.to!.gap(position, length, why, ts, ack);
      return;
    }
    if (held !== null) this.#passOver(held.length, 'desync');
    this.#passed = true;
    if (this.missed === null) this.missed = { length: 0, end: 0, why, ack };
    this.missed.length += length;
    this.missed.end = position + length;
    this.missed.ack = ack;
    // Bytes that never came are counted where they were missed: in the kernel, or by reassembly.
  }

  followed(records: number, turns: number, turn: boolean): void {
    this.to?.followed?.(records, turns, turn);
  }

  spares(): number {
    return this.to?.spares?.() ?? 0;
  }

  end(how: StreamEnd, ts: number): void {
    if (this.#ended) return;
    this.#ended = true;
    const held = this.#undecided;
    if (held !== null) this.#passOver(held.length, 'desync');
    this.to?.end(how, ts);
    this.#chooser.ended();
  }
}
