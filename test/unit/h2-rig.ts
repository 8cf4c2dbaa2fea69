/** One HTTP/2 connection through the agent's own stack, and what comes out as plain values. */
import { type DecoderShared, decoderFactory } from '../../src/agent/decoder.ts';
import { Memory } from '../../src/base/memory.ts';
import { PAIRER_LIMITS, PairerShared } from '../../src/exchange/pairing.ts';
import { H1Shared } from '../../src/http/h1/shared.ts';
import { H2Shared } from '../../src/http/h2/shared.ts';
import { Connection, type ConnectionStart } from '../../src/model/connection.ts';
import type { Exchange, GrpcFacts, Interim } from '../../src/model/exchange.ts';
import type { FieldBlock } from '../../src/model/fields.ts';
import { LossLedger, type LossMark, type LossReason } from '../../src/model/loss.ts';
import { anomalyNames, type Message } from '../../src/model/message.ts';
import { EGRESS, INGRESS } from '../../src/model/segment.ts';
import type { ConnectionDecoder, StreamEnd } from '../../src/model/stages.ts';
import type { WebSocketSession } from '../../src/model/websocket.ts';
import type { Pair } from '../rig/h2/wire.ts';

export interface SeenMessage {
  readonly line: string;
  readonly headers: Pair[];
  readonly trailers: Pair[];
  readonly body: number;
}

export interface Seen {
  readonly streamId: number;
  readonly protocol: string;
  readonly upgrade: string;
  readonly request: SeenMessage | null;
  readonly response: SeenMessage | null;
  readonly interim: readonly Interim[];
  readonly outcome: string;
  readonly losses: LossMark[];
  readonly anomalies: string[];
  readonly grpc: GrpcFacts | null;
  readonly route: string;
}

export type Side = 'client' | 'server';
export interface Piece {
  readonly from: Side;
  readonly bytes: Buffer;
}

const pairs = (block: FieldBlock | null): Pair[] =>
  block === null ? [] : Array.from({ length: block.count }, (_, i) => [block.lines[i]!.raw, block.value(i)] as const);

const seenMessage = (m: Message | null): SeenMessage | null =>
  m === null
    ? null
    : {
        line: m.kind === 'request' ? `${m.method} ${m.scheme}://${m.authority} ${m.target}` : `${m.status}`,
        headers: pairs(m.fields),
        trailers: pairs(m.trailers),
        body: m.bodyBytes,
      };

/** What all connections of a test share, as a pipeline does. */
export class H2Rig {
  readonly seen: Seen[] = [];
  readonly sessions: WebSocketSession[] = [];
  readonly ledger = new LossLedger();
  readonly h1 = new H1Shared();
  readonly shared: DecoderShared;

  constructor() {
    const sink = {
      exchange: (x: Exchange): void => {
        this.seen.push({
          streamId: x.request?.streamId || x.response?.streamId || 0,
          protocol: x.protocol,
          upgrade: x.upgrade,
          request: seenMessage(x.request),
          response: seenMessage(x.response),
          interim: x.interim,
          outcome: x.outcome,
          losses: x.losses.map((mark) => ({ ...mark })),
          anomalies: anomalyNames(x.anomalies),
          grpc: x.grpc,
          route: x.route,
        });
      },
      websocket: (session: WebSocketSession): void => {
        this.sessions.push(session);
      },
    };
    this.shared = {
      h1: this.h1,
      h2: new H2Shared(this.h1.names, this.h1.pool),
      pairing: new PairerShared(sink, this.h1.pool, this.ledger, PAIRER_LIMITS),
      losses: this.ledger,
      notHttp: { tls: 0, other: 0, switched: 0, undecided: 0 },
      live: new Set(),
      open: { unknown: 0, http: 0, tls: 0, h2: 0, other: 0, switched: 0 },
      offline: true,
      life: null,
      tls: null,
    };
  }

  connection(start: ConnectionStart = 'opened'): H2Wire {
    return new H2Wire(this, start);
  }

  losses(): Partial<Record<LossReason, number>> {
    return Object.fromEntries(this.ledger.totals().map(({ reason, bytes }) => [reason, bytes]));
  }
}

/** The client's bytes are INGRESS. */
export class H2Wire {
  readonly connection: Connection;
  readonly #decoder: ConnectionDecoder;
  readonly #at = { client: 0, server: 0 };
  now = 0;

  constructor(rig: H2Rig, start: ConnectionStart) {
    this.connection = new Connection(1, { address: '127.0.0.1', port: 80 }, { address: '127.0.0.1', port: 40_000 });
    this.connection.start = start;
    if (start === 'opened') this.connection.clientDirection = INGRESS;
    this.#decoder = decoderFactory(rig.shared)(this.connection);
  }

  #stream(from: Side) {
    return this.#decoder.streams[from === 'client' ? INGRESS : EGRESS];
  }

  /** `ack`: how far the other side's stream is acknowledged, -1: not known, as in TLS where its records are missing. */
  send(from: Side, bytes: Uint8Array, ack = -1): this {
    if (bytes.length === 0) return this;
    this.now += 1_000;
    this.#stream(from).data(Memory.from(bytes), 0, bytes.length, this.#at[from], this.now, ack);
    this.#at[from] += bytes.length;
    return this;
  }

  gap(from: Side, length: number, why: LossReason | 'left_out'): this {
    this.#stream(from).gap(this.#at[from], length, why, this.now);
    this.#at[from] += length;
    return this;
  }

  tick(seconds: number): this {
    this.now += seconds * 1e9;
    this.#decoder.tick(this.now);
    return this;
  }

  end(how: StreamEnd, first: Side = 'client'): this {
    this.now += 1_000;
    if (how === 'rst') this.connection.resetBy = first === 'client' ? INGRESS : EGRESS;
    this.#stream(first).end(how, this.now);
    this.#stream(first === 'client' ? 'server' : 'client').end(how, this.now);
    return this;
  }

  endOf(from: Side, how: StreamEnd): this {
    this.now += 1_000;
    this.#stream(from).end(how, this.now);
    return this;
  }
}
