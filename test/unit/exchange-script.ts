/** Plays the HTTP parsers of one connection against a Pairer, and keeps what it emits as plain values. */

import { Pairer } from '../../src/exchange/pairer.ts';
import { PAIRER_LIMITS, type PairerLimits, PairerShared } from '../../src/exchange/pairing.ts';
import { Connection } from '../../src/model/connection.ts';
import type { Exchange, Interim, Outcome, Protocol } from '../../src/model/exchange.ts';
import { LossLedger, type LossMark } from '../../src/model/loss.ts';
import { type Anomaly, anomalyNames, type Message, type MessageEnd } from '../../src/model/message.ts';
import { MessagePool } from '../../src/model/pool.ts';
import type { StreamEnd } from '../../src/model/stages.ts';

export interface Emitted {
  /** Target of the request and reason of the response: the ids that the script plants. */
  readonly request: string | null;
  readonly response: string | null;
  readonly outcome: Outcome;
  readonly ordinal: number;
  readonly inFlight: number;
  readonly losses: LossMark[];
  readonly anomalies: Anomaly[];
  readonly interim: Interim[];
  readonly upgrade: string;
  readonly protocol: Protocol;
}

export interface Start {
  readonly id?: string;
  readonly at?: number;
  readonly offset?: number;
  readonly ack?: number;
  readonly method?: string;
  readonly status?: number;
  readonly version?: number;
}

export interface End {
  readonly at?: number;
  readonly offset?: number;
  readonly anomalies?: number;
}

export class Script {
  readonly connection = new Connection(1, { address: '127.0.0.1', port: 8080 }, { address: '127.0.0.1', port: 40_000 });
  readonly emitted: Emitted[] = [];
  readonly ledger = new LossLedger();
  readonly pool = new MessagePool();
  readonly pairer: Pairer;
  /** Where the next message of each direction begins when nothing else is said. */
  requestOffset = 0;
  responseOffset = 0;

  constructor(options: { joined?: boolean; limits?: Partial<PairerLimits> } = {}) {
    if (options.joined !== true) this.connection.start = 'opened';
    const sink = {
      exchange: (x: Exchange): void => {
        this.emitted.push({
          request: x.request?.target ?? null,
          response: x.response?.reason ?? null,
          outcome: x.outcome,
          ordinal: x.ordinal,
          inFlight: x.inFlight,
          losses: x.losses.map((m) => ({ ...m })),
          anomalies: anomalyNames(x.anomalies),
          interim: [...x.interim],
          upgrade: x.upgrade,
          protocol: x.protocol,
        });
      },
      websocket: (): void => {},
    };
    const shared = new PairerShared(sink, this.pool, this.ledger, { ...PAIRER_LIMITS, ...options.limits });
    this.pairer = new Pairer(this.connection, shared);
  }

  /** A request head arrives. Offsets follow one another in steps of 100 bytes unless given. */
  request(start: Start = {}): Message {
    const m = this.make('request', start);
    this.pairer.head(m);
    return m;
  }

  make(kind: 'request' | 'response', start: Start): Message {
    const m = this.pool.take(kind);
    if (kind === 'request') {
      m.method = start.method ?? 'GET';
      m.target = start.id ?? 'q';
      m.startOffset = start.offset ?? this.requestOffset;
      m.ackOffset = start.ack ?? this.responseOffset;
      this.requestOffset = m.startOffset + 100;
    } else {
      m.status = start.status ?? 200;
      m.reason = start.id ?? 'r';
      m.startOffset = start.offset ?? this.responseOffset;
      m.ackOffset = start.ack ?? this.requestOffset;
      this.responseOffset = m.startOffset + 100;
    }
    m.version = start.version ?? 11;
    m.headBytes = 50;
    m.firstByteAt = start.at ?? 0;
    m.lastByteAt = m.firstByteAt;
    return m;
  }

  /** A final response head arrives, as the parser announces it: first asking for its request. */
  response(start: Start = {}): Message {
    const m = this.make('response', start);
    this.pairer.requestFor(m);
    this.pairer.head(m);
    return m;
  }

  interim(status: number, start: Start = {}): void {
    const m = this.make('response', { ...start, status });
    m.endOffset = m.startOffset + 100;
    this.pairer.requestFor(m);
    this.pairer.interim(m);
    this.pool.give(m);
  }

  end(m: Message, how: MessageEnd = 'framed', end: End = {}): void {
    m.end = how;
    m.endOffset = end.offset ?? m.startOffset + 100;
    m.lastByteAt = end.at ?? m.firstByteAt;
    m.anomalies |= end.anomalies ?? 0;
    if (m.kind === 'request') this.requestOffset = m.endOffset;
    else this.responseOffset = m.endOffset;
    this.pairer.end(m);
  }

  /** A whole request, and a whole response. */
  ask(start: Start = {}): void {
    this.end(this.request(start));
  }

  answer(start: Start = {}): void {
    this.end(this.response(start));
  }

  closed(by: 'client' | 'server', how: StreamEnd, at = 0): void {
    this.pairer.closed(by, how, at);
  }

  /** Pairs as `request>response`, "-" where there is none. */
  get pairs(): string[] {
    return this.emitted.map((x) => `${x.request ?? '-'}>${x.response ?? '-'}`);
  }

  get outcomes(): Outcome[] {
    return this.emitted.map((x) => x.outcome);
  }
}
