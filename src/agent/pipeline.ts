/** From a source's segments to redacted exchanges: the stages in their order, one instance of what they share. */
import type { ClockAnchor } from '../base/clock.ts';
import { PAIRER_LIMITS, type PairerLimits, PairerShared } from '../exchange/pairing.ts';
import { RouteTable } from '../exchange/route.ts';
import { H1Shared } from '../http/h1/shared.ts';
import { H2Shared } from '../http/h2/shared.ts';
import type { Connection } from '../model/connection.ts';
import type { Exchange } from '../model/exchange.ts';
import type { LossLedger, LossReason } from '../model/loss.ts';
import type { SocketEvent } from '../model/segment.ts';
import type { CaptureSink, ExchangeSink } from '../model/stages.ts';
import type { WebSocketSession } from '../model/websocket.ts';
import { ExchangeSubject } from '../query/exchange-subject.ts';
import type { Filter } from '../query/filter.ts';
import type { RedactionPolicy } from '../redact/policy.ts';
import { type Redacted, redactor } from '../redact/redacted.ts';
import { LIVE_LIMITS, type Spare } from '../tcp/context.ts';
import { ConnectionTracker } from '../tcp/tracker.ts';
import { TlsConnection } from '../tls/connection.ts';
import { LIVE_SECRET_LIMITS, SecretStore } from '../tls/secrets.ts';
import { TLS_LIMITS, TlsShared } from '../tls/shared.ts';
import { type ConnectionLife, type DecoderShared, decoderFactory, type Guess } from './decoder.ts';
import { OfflineServers } from './offline-servers.ts';
import { TlsTally } from './tls-tally.ts';
import { ClosedConnections } from './why.ts';

/** A call past its time-out is still one whole record if its answer comes within this many time-outs. */
const LATE_TIMES = 2;

/** Takes exchanges that passed the filter; valid during the call only. */
export type RedactedSink = (exchange: Redacted<Exchange>) => void;

/** Who is behind sockets, as the kernel tells it. Events are valid during the call only. */
interface SocketOwners {
  told(connection: Connection, event: SocketEvent): void;
  listens(event: SocketEvent): void;
}

export interface PipelineOptions {
  readonly losses: LossLedger;
  readonly offline: boolean;
  readonly policy: RedactionPolicy;
  readonly filter: Filter | null;
  /** Counts every call, whatever the filter says of it; null: nobody does. */
  readonly statistics?: RedactedSink | null;
  /** What a WebSocket carried, where its handshake passed the filter; null: nobody wants to know. */
  readonly websockets?: ((session: WebSocketSession) => void) | null;
  /** Where the exchange goes; empty: it is only counted, and nobody redacts or formats it. */
  readonly sinks: () => readonly RedactedSink[];
  /** Secrets of TLS connections; null: none can come, and TLS shows its handshakes alone. */
  readonly secrets?: SecretStore | null;
  /** Told once of every TLS connection when its handshake is over. */
  readonly handshakes?: (connection: Connection) => void;
  /** Told of every connection that begins as TLS; by default nobody is. */
  readonly tlsBegins?: (connection: TlsConnection) => void;
  /** Every TLS record's tag is checked; always so offline. */
  readonly verifyTags?: boolean;
  /** Who is behind the connections; null offline. */
  readonly owners: (ConnectionLife & SocketOwners) | null;
  readonly connectionsMax?: number;
  readonly idleNs?: number;
  /** Bytes that may wait for missing ones, over all connections. */
  readonly memoryMax?: number;
  readonly responseTimeoutNs?: number;
  /** Tells the kernel which bytes of a connection nobody needs. */
  readonly spare?: Spare;
  /** Takes calls that are the agent's own: nobody else hears of them. */
  readonly probe?: { takes(exchange: Exchange): boolean };
}

export interface PipelineCounters {
  exchanges: number;
  /** Exchanges whose request, and whose response head, was seen. */
  requests: number;
  responses: number;
  /** Exchanges that the filter let through. */
  matched: number;
}

export class Pipeline implements ExchangeSink {
  readonly losses: LossLedger;
  readonly counters: PipelineCounters = { exchanges: 0, requests: 0, responses: 0, matched: 0 };
  readonly decoding: DecoderShared;
  readonly tls: TlsShared;
  readonly tlsTally: TlsTally;
  readonly closed: ClosedConnections;
  readonly tracker: ConnectionTracker;
  readonly #routes = new RouteTable();
  readonly #redact: (exchange: Exchange) => Redacted<Exchange>;
  readonly #offline: boolean;
  readonly #probe: { takes(exchange: Exchange): boolean } | null;
  readonly #filter: Filter | null;
  readonly #statistics: RedactedSink | null;
  readonly #sinks: () => readonly RedactedSink[];
  readonly #websockets: ((session: WebSocketSession) => void) | null;
  readonly #handshaken: ((connection: Connection) => void) | null;
  #subject: ExchangeSubject | null = null;
  /** Of each connection, the last handshake of a WebSocket that passed the filter. */
  readonly #handshakes = new WeakMap<Connection, number>();
  /** At the end: why the rest of a call that is still open may be among what was never handed over; null: it is not. */
  openBecause: LossReason | null = null;

  constructor(options: PipelineOptions) {
    this.#offline = options.offline;
    this.#probe = options.probe ?? null;
    this.#filter = options.filter;
    this.#statistics = options.statistics ?? null;
    this.#sinks = options.sinks;
    this.#websockets = options.websockets ?? null;
    this.#handshaken = options.handshakes ?? null;
    this.losses = options.losses;
    this.#redact = redactor(options.policy);
    const h1 = new H1Shared();
    const timeoutNs = options.responseTimeoutNs ?? PAIRER_LIMITS.timeoutNs;
    const limits: PairerLimits = { ...PAIRER_LIMITS, timeoutNs, lateNs: timeoutNs * LATE_TIMES };
    const secrets = options.secrets ?? null;
    const store = secrets ?? new SecretStore(LIVE_SECRET_LIMITS, false);
    // Soon the process may read nothing of the program's folder; a capture file may hold no TLS at all.
    if (!options.offline) store.prepare();
    this.tls = new TlsShared({
      store,
      losses: this.losses,
      // A file may be damaged anywhere; live, the segments come from the kernel that the peers use.
      verify: options.offline || options.verifyTags === true ? 'always' : 'bound',
      limits: secrets === null ? { ...TLS_LIMITS, waitNs: 0 } : TLS_LIMITS,
      ...(options.handshakes === undefined ? {} : { settled: this.#settled }),
      unread: (bytes) => {
        this.decoding.notHttp.tls += bytes;
      },
    });
    this.tlsTally = new TlsTally(options.owners ?? (options.offline ? new OfflineServers() : null));
    this.closed = new ClosedConnections(this.tlsTally, () => performance.now());
    this.decoding = {
      h1,
      h2: new H2Shared(h1.names, h1.pool),
      pairing: new PairerShared(this, h1.pool, this.losses, limits),
      losses: this.losses,
      notHttp: { tls: 0, other: 0, switched: 0, undecided: 0 },
      live: new Set(),
      offline: options.offline,
      tls: (connection, inner) => {
        const tls = new TlsConnection(connection, this.tls, inner);
        options.tlsBegins?.(tls);
        return tls;
      },
      life: options.offline ? this.tlsTally : this.closed,
      open: { unknown: 0, http: 0, tls: 0, h2: 0, other: 0, switched: 0 } satisfies Record<Guess, number>,
    };
    this.tracker = new ConnectionTracker({
      decoder: decoderFactory(this.decoding),
      losses: this.losses,
      offline: options.offline,
      passes: (now) => this.tls.tick(now),
      ...(options.owners === null
        ? {}
        : { owner: options.owners.told.bind(options.owners), listens: options.owners.listens.bind(options.owners) }),
      ...(options.connectionsMax === undefined ? {} : { connectionsMax: options.connectionsMax }),
      ...(options.spare === undefined ? {} : { spare: options.spare }),
      ...(options.idleNs === undefined ? {} : { idleNs: options.idleNs }),
      ...(options.memoryMax === undefined || options.offline
        ? {}
        : { limits: { ...LIVE_LIMITS, totalBytes: options.memoryMax } }),
    });
  }

  /** A handshake is over. In a file nobody has named the server yet; who opened the connection is the client. */
  readonly #settled = (connection: Connection): void => {
    if (connection.service === '' && connection.clientDirection >= 0 && this.#offline) this.tlsTally.named(connection);
    this.#handshaken?.(connection);
  };

  /** The capture is over: every connection ends, and none waits for anything. */
  finish(): void {
    this.tracker.finish();
    this.tls.finish();
  }

  get capture(): CaptureSink {
    return this.tracker;
  }

  /** To be called before the first exchange: filters on time need it. */
  anchored(anchor: ClockAnchor): void {
    this.#subject = new ExchangeSubject(anchor);
  }

  exchange(exchange: Exchange): void {
    if (this.#probe?.takes(exchange) === true) return;
    const { counters } = this;
    counters.exchanges++;
    if (exchange.request !== null) counters.requests++;
    if (exchange.response !== null) counters.responses++;
    if (this.openBecause !== null && exchange.outcome === 'open' && exchange.losses.length === 0) {
      exchange.losses.push({ reason: this.openBecause, bytes: 0 });
    }
    if (exchange.losses.length > 0) loseAll(exchange);
    const filter = this.#filter;
    const sinks = this.#sinks();
    const statistics = this.#statistics;
    if (sinks.length === 0 && statistics === null) return;
    const { request } = exchange;
    if (request !== null && exchange.route === '')
      exchange.route = this.#routes.route(
        exchange.connection.service,
        request.method,
        request.target,
        exchange.response === null || exchange.response.status < 400 || exchange.response.status >= 500,
        request.firstByteAt,
      );
    const redacted = this.#redact(exchange);
    if (statistics !== null) statistics(redacted);
    if (sinks.length === 0) return;
    if (filter !== null && !filter.matches(this.#subject!.bind(redacted))) return;
    counters.matched++;
    if (exchange.upgrade === 'websocket') this.#handshakes.set(exchange.connection, exchange.ordinal);
    for (const sink of sinks) sink(redacted);
  }

  websocket(session: WebSocketSession): void {
    if (this.#handshakes.get(session.connection) === session.ordinal) this.#websockets?.(session);
  }
}

/** Adds an exchange's losses to its connection's, for `why`. */
function loseAll({ connection, losses }: Exchange): void {
  connection.lost ??= [];
  for (const { reason, bytes } of losses) {
    const total = connection.lost.find((known) => known.reason === reason);
    if (total === undefined) connection.lost.push({ reason, count: 1, bytes });
    else {
      total.count++;
      total.bytes += bytes;
    }
  }
}
