/**
 * One connection's protocol stack. It begins undecided; the first bytes of either direction say what the connection
 * speaks, and from then on a direction's bytes go straight to its parser. What is not HTTP/1 is counted by what it looks
 * like and gives no exchange. TLS and HTTP/2 will be two more parsers chosen here.
 */
import { Memory } from '../base/memory.ts';
import { Pairer, type PairerShared } from '../exchange/pairer.ts';
import { classifyBroken, classifyStart, type StartKind } from '../http/detect.ts';
import type { H1Shared } from '../http/h1/shared.ts';
import { H1Stream } from '../http/h1/stream.ts';
import type { Connection, ConnectionStart } from '../model/connection.ts';
import type { LossReason, LossSink } from '../model/loss.ts';
import { type Direction, EGRESS, INGRESS } from '../model/segment.ts';
import type { ConnectionDecoder, DecoderFactory, StreamEnd, StreamSink } from '../model/stages.ts';

/** What a connection's bytes look like; `switched`: HTTP/1 until an Upgrade or CONNECT. */
export type Guess = 'unknown' | 'http' | 'tls' | 'h2' | 'other' | 'switched';

/** Bytes kept while the first ones do not decide yet: a little more than http/detect needs at most. */
const UNDECIDED_BYTES_MAX = 2_304;
const UNDECIDED_BYTES_FIRST = 128;

export interface DecoderShared {
  readonly h1: H1Shared;
  readonly pairing: PairerShared;
  readonly losses: LossSink;
  /** Payload bytes that were not HTTP, by what they looked like. */
  readonly notHttp: NotHttpCounters;
  /** Connections by guess; open ones only. */
  readonly open: Record<Guess, number>;
  /** Connections that have not ended. */
  readonly live: Set<LiveConnection>;
  /** A capture file: which end is local says nothing. */
  readonly offline: boolean;
  /** Told when a connection begins, when it is known which end is the server, and when both directions ended. */
  readonly life: ConnectionLife | null;
}

/** What can be told of an open connection. */
export interface LiveConnection {
  readonly connection: Connection;
  readonly guess: Guess;
}

export interface ConnectionLife {
  met(connection: Connection): void;
  named(connection: Connection): void;
  ended(connection: Connection): void;
}

export interface NotHttpCounters {
  tls: number;
  h2: number;
  other: number;
  switched: number;
  undecided: number;
}

class HttpDecoder implements ConnectionDecoder, LiveConnection {
  readonly streams: readonly [DirectionStream, DirectionStream];
  readonly connection: Connection;
  readonly shared: DecoderShared;
  guess: Guess = 'unknown';
  #pairer: Pairer | null = null;
  #ended = 0;

  constructor(connection: Connection, shared: DecoderShared) {
    this.connection = connection;
    this.shared = shared;
    this.streams = [new DirectionStream(this, INGRESS), new DirectionStream(this, EGRESS)];
    shared.open.unknown++;
    shared.live.add(this);
    shared.life?.met(connection);
  }

  tick(now: number): void {
    this.#pairer?.tick(now);
  }

  become(guess: Guess): void {
    if (this.#ended < 2) {
      this.shared.open[this.guess]--;
      this.shared.open[guess]++;
    }
    this.guess = guess;
  }

  /** The bytes of `direction` begin as `kind` does: choose the parsers of both directions. */
  decided(direction: Direction, kind: StartKind): void {
    if (kind === 'tls' || kind === 'h2_preface') {
      this.become(kind === 'tls' ? 'tls' : 'h2');
      return;
    }
    if (kind !== 'h1_request' && kind !== 'h1_response') {
      this.become('other');
      return;
    }
    const client: Direction = kind === 'h1_request' ? direction : direction === INGRESS ? EGRESS : INGRESS;
    const { connection, shared } = this;
    connection.clientDirection = client;
    if (!shared.offline) connection.side = client === INGRESS ? 'server' : 'client';
    shared.life?.named(connection);
    const pairer = new Pairer(connection, shared.pairing);
    this.#pairer = pairer;
    const server: Direction = client === INGRESS ? EGRESS : INGRESS;
    const request = new H1Stream('request', pairer, shared.h1, shared.losses, this.streams[client].start);
    const response = new H1Stream('response', pairer, shared.h1, shared.losses, this.streams[server].start);
    H1Stream.pair(request, response);
    this.become('http');
    for (const stream of this.streams) stream.tellMissed();
    this.streams[client].parse(request);
    this.streams[server].parse(response);
  }

  /** Bytes that will never come: a message that was in them alone is missing, and its pair must not shift. */
  gap(direction: Direction, position: number, length: number, why: LossReason | 'left_out'): void {
    const by = direction === this.connection.clientDirection ? 'client' : 'server';
    this.#pairer?.gap(by, position, length, why);
  }

  /** A direction ended; the parser was told already. */
  ended(direction: Direction, how: StreamEnd, ts: number): void {
    const { clientDirection } = this.connection;
    this.#pairer?.closed(direction === clientDirection ? 'client' : 'server', how, ts);
    if (++this.#ended < 2) return;
    this.shared.open[this.guess]--;
    this.shared.live.delete(this);
    this.shared.life?.ended(this.connection);
  }

  /** HTTP/1 ended here by Upgrade or CONNECT; `bytes` of this direction are the other protocol's. */
  switched(bytes: number): void {
    if (this.guess === 'http') this.become('switched');
    if (bytes > 0) this.count(bytes);
  }

  count(bytes: number): void {
    const { notHttp, losses } = this.shared;
    if (this.guess === 'tls') {
      notHttp.tls += bytes;
      losses.lose('tls_no_secret', 1, bytes);
    } else if (this.guess === 'h2') {
      notHttp.h2 += bytes;
      losses.lose('h2_undecoded', 1, bytes);
    } else if (this.guess === 'switched') notHttp.switched += bytes;
    else notHttp.other += bytes;
  }
}

/** First bytes of a direction that do not decide yet. */
interface Undecided {
  memory: Memory;
  length: number;
  readonly position: number;
  readonly ts: number;
  readonly ack: number;
}

class DirectionStream implements StreamSink {
  readonly #decoder: HttpDecoder;
  readonly #direction: Direction;
  /** A byte of this direction was passed over: what comes next need not begin a message. */
  #passed = false;
  #h1: H1Stream | null = null;
  #undecided: Undecided | null = null;
  #ended = false;
  /** Bytes that will never come, before it was known what they belong to. */
  #missed: { length: number; end: number; why: LossReason | 'left_out' } | null = null;

  constructor(decoder: HttpDecoder, direction: Direction) {
    this.#decoder = decoder;
    this.#direction = direction;
  }

  /** Asked late: the opening is told after the decoder was made. */
  get start(): ConnectionStart {
    return this.#passed ? 'joined' : this.#decoder.connection.start;
  }

  parse(h1: H1Stream): void {
    this.#h1 = h1;
    const held = this.#undecided;
    if (held === null) return;
    this.#undecided = null;
    h1.data(held.memory, 0, held.length, held.position, held.ts, held.ack);
  }

  tellMissed(): void {
    const missed = this.#missed;
    if (missed === null) return;
    this.#missed = null;
    this.#decoder.gap(this.#direction, missed.end - missed.length, missed.length, missed.why);
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    const h1 = this.#h1;
    if (h1 === null) {
      if (this.#decoder.guess !== 'unknown') this.#decoder.count(length);
      else if (this.#undecided !== null) this.#decideHeld(this.#undecided, memory, offset, length, position, ts, ack);
      else this.#decide(memory, offset, length, position, ts, ack);
      return;
    }
    h1.data(memory, offset, length, position, ts, ack);
    if (h1.switchedAt >= 0) this.#decoder.switched(Math.min(length, position + length - h1.switchedAt));
  }

  #classify(memory: Memory, offset: number, length: number): StartKind {
    const kind = classifyStart(memory, offset, length);
    const first = this.start === 'opened' && this.#direction === this.#decoder.connection.clientDirection;
    return kind === 'other' && first ? classifyBroken(memory, offset, length) : kind;
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
    if (!this.#accept(kind, length)) return;
    this.#h1?.data(memory, offset, length, position, ts, ack);
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
    // From here on the held bytes are the parser's (parse() hands them over), or counted.
    if (!this.#accept(kind, held.length + length - room)) {
      this.#undecided = null;
      return;
    }
    if (room < length) this.#h1?.data(memory, offset + room, length - room, position + room, ts, ack);
  }

  /** False: the `bytes` that were classified as `kind` are not HTTP/1; they are counted. */
  #accept(kind: StartKind, bytes: number): boolean {
    if ((kind === 'other' || kind === 'need_more') && this.start === 'joined') {
      // Joined in the middle, perhaps of a body: the next segment may begin a message.
      this.#passOver(bytes, this.#decoder.connection.start === 'opened' ? 'desync' : 'joined_midstream');
      return false;
    }
    this.#decoder.decided(this.#direction, kind);
    if (this.#h1 !== null) return true;
    this.#decoder.count(bytes);
    return false;
  }

  #passOver(bytes: number, why: LossReason): void {
    this.#undecided = null;
    this.#passed = true;
    this.#decoder.shared.notHttp.undecided += bytes;
    this.#decoder.shared.losses.lose(why, 1, bytes);
  }

  gap(position: number, length: number, why: LossReason | 'left_out', ts: number): void {
    if (this.#h1 !== null) {
      this.#decoder.gap(this.#direction, position, length, why);
      this.#h1.gap(position, length, why, ts);
      return;
    }
    if (this.#undecided !== null) this.#passOver(this.#undecided.length, 'desync');
    this.#passed = true;
    if (this.#missed === null) this.#missed = { length: 0, end: 0, why };
    this.#missed.length += length;
    this.#missed.end = position + length;
    // Bytes that never came are counted where they were missed: in the kernel, or by reassembly.
  }

  end(how: StreamEnd, ts: number): void {
    if (this.#ended) return;
    this.#ended = true;
    const held = this.#undecided;
    if (held !== null && this.#decoder.guess === 'unknown') this.#passOver(held.length, 'desync');
    else if (held !== null) this.#decoder.count(held.length);
    this.#h1?.end(how, ts);
    this.#decoder.ended(this.#direction, how, ts);
  }
}

export const decoderFactory =
  (shared: DecoderShared): DecoderFactory =>
  (connection) =>
    new HttpDecoder(connection, shared);
