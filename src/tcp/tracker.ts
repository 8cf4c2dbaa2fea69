/**
 * Connections: which one a segment belongs to, when one begins and ends. A connection is found by the source's number
 * for its socket, or by addresses and ports where there is none (files; segments seen on a listening socket, which the
 * socket adopts when it shows up). It stays known for a while after its end, so that late segments make no new one.
 */
import { UNSEEN } from '../base/clock.ts';
import { Connection } from '../model/connection.ts';
import type { LossSink } from '../model/loss.ts';
import { type Direction, EGRESS, INGRESS, type Segment, type SocketEvent, TCP_ACK, TCP_SYN } from '../model/segment.ts';
import type { CaptureSink, DecoderFactory, StreamEnd } from '../model/stages.ts';
import { formatAddress } from './address.ts';
import { CallCounts } from './call-counts.ts';
import {
  FILE_LIMITS,
  LIVE_LIMITS,
  ReassemblyContext,
  type ReassemblyCounters,
  type ReassemblyLimits,
  type Spare,
} from './context.ts';
import { Flow, FlowList } from './flow.ts';
import { FlowTable } from './flow-table.ts';
import { NO_ACK, RESET, Reassembler, STRAY } from './reassembly.ts';
import { Strays } from './strays.ts';

const TICK_NS = 1e9;
/** How long the last segments of a closed socket may take. */
const CLOSING_NS = 100e6;
/** Ended connections that late segments are held against. */
const ENDED_MAX = 4_096;
const ENDED_NS = 60e9;

export interface TrackerOptions {
  readonly decoder: DecoderFactory;
  readonly losses: LossSink;
  /** A capture file: the local end is arbitrary, cut segments are the file's snaplen, reordering is undone across directions. */
  readonly offline: boolean;
  /** The kernel told who owns a connection's socket. The event is valid during the call only. */
  readonly owner?: (connection: Connection, event: SocketEvent) => void;
  /** The kernel told who begins to listen. The event is valid during the call only. */
  readonly listens?: (event: SocketEvent) => void;
  /** Connections at once; the longest unused one is given up for a new one. */
  readonly connectionsMax?: number;
  /** Nanoseconds without a segment after which a connection is given up. */
  readonly idleNs?: number;
  readonly limits?: ReassemblyLimits;
  /** The source can be told what nobody needs. */
  readonly spare?: Spare;
  /** Time passes, whether there are connections or not: each `tick`, ns since the anchor. */
  readonly passes?: (now: number) => void;
}

export interface TrackerCounters {
  /** Connections met; a reused port counts again. */
  connections: number;
  /** Segments with payload, and their payload. */
  segments: number;
  bytes: number;
  /** Connections given up because they were unused for too long. */
  idle: number;
  /** Calls that only the source has counted: their bytes were left out or lost, and nothing behind them told of them. */
  callsUnread: number;
  /** Ended connections of which calls may be missing that nobody has counted. */
  callsUnknown: number;
}

/** Takes what a source sees and feeds each connection's decoder with its two streams. */
export class ConnectionTracker implements CaptureSink {
  readonly counters: TrackerCounters = {
    connections: 0,
    segments: 0,
    bytes: 0,
    idle: 0,
    callsUnread: 0,
    callsUnknown: 0,
  };

  readonly #options: TrackerOptions;
  readonly #connectionsMax: number;
  readonly #idleNs: number;
  readonly #context: ReassemblyContext;
  readonly #byId = new Map<number, Flow>();
  readonly #table = new FlowTable();
  readonly #slots: (Flow | null)[] = [];
  readonly #freeSlots: number[] = [];
  readonly #active = new FlowList();
  readonly #ended = new FlowList();
  readonly #waiting = new Set<Flow>();
  readonly #calls = new CallCounts(this.counters);
  /** Closed without FIN or RST so far. */
  readonly #closing = new Set<Flow>();
  #last: Flow | null = null;
  #now = 0;

  constructor(options: TrackerOptions) {
    this.#options = options;
    this.#connectionsMax = options.connectionsMax ?? 200_000;
    this.#idleNs = options.idleNs ?? 3600e9;
    this.#context = new ReassemblyContext(
      options.limits ?? (options.offline ? FILE_LIMITS : LIVE_LIMITS),
      options.losses,
      options.offline ? 'snaplen' : 'left_out',
      options.spare ?? null,
    );
  }

  get reassembly(): Readonly<ReassemblyCounters> {
    return this.#context.counters;
  }

  /** Connections that have not ended. */
  get active(): number {
    return this.#active.size;
  }

  /** Memory that waits for holes, in bytes. */
  get held(): number {
    return this.#context.held;
  }

  segment(s: Segment): void {
    if (s.length > 0) {
      this.counters.segments++;
      this.counters.bytes += s.length;
    }
    if (s.leftOut !== 0 || s.lostBytes !== 0 || s.lostSegments !== 0)
      this.#account(s.leftOut, s.lostBytes, s.lostSegments);
    if (s.ts > this.#now + TICK_NS) this.tick(s.ts);
    const flow = this.#flowOf(s);
    if (flow === null) {
      this.#context.counters.unusable += s.length;
      return;
    }
    flow.lastSeen = Math.max(s.ts, this.#now);
    this.#take(flow, s);
  }

  #take(flow: Flow, s: Segment): void {
    const own = s.direction === INGRESS ? flow.ingress : flow.egress;
    const other = own.peer;
    if (flow.waits && flow.isAnothers(s)) {
      this.#stray(flow, s);
      return;
    }
    const ack = (s.flags & TCP_ACK) === 0 ? NO_ACK : other.acknowledged(s.ack, s.seq);
    const verdict = own.segment(s, ack);
    if (verdict === RESET) this.#reset(flow, s.direction, s.ts);
    else if (verdict === STRAY) this.#stray(flow, s);
    else {
      if (other.waiting) other.expire(s.ts);
      if (own.ended && other.ended) this.#retire(flow);
      else if ((own.waiting || other.waiting) && !flow.waits) this.#wait(flow);
    }
  }

  socket(event: SocketEvent): void {
    if (event.kind === 'listens') {
      this.#options.listens?.(event);
      return;
    }
    let flow = this.#byId.get(event.flow) ?? this.#adopt(event);
    if (event.kind === 'closed') {
      const { leftOut, lostBytes, lostSegments } = event;
      this.#account(leftOut[0] + leftOut[1], lostBytes[0] + lostBytes[1], lostSegments[0] + lostSegments[1]);
      if (event.calls > 0) this.#calls.told(event, flow);
      if (flow === null) return;
      flow.closed(event);
      // An abort closes the socket first and sends its RST then: the reset says more than the closing.
      if (flow.decoder === null) return;
      flow.closedAt = event.ts;
      this.#closing.add(flow);
      return;
    }
    if (flow === null || (event.kind === 'opened' && flow.decoder === null)) flow = this.#create(event);
    const { connection } = flow;
    if (event.kind === 'owner') this.#options.owner?.(connection, event);
    else {
      connection.side = event.accepted ? 'server' : 'client';
      connection.clientDirection = event.accepted ? INGRESS : EGRESS;
      connection.start = 'opened';
      if (connection.openedAt === UNSEEN) connection.openedAt = event.ts;
      flow.opened(event);
    }
  }

  /** Time passes (about once a second of capture time, also without segments); nanoseconds since the anchor. */
  tick(now: number): void {
    if (now > this.#now) this.#now = now;
    this.#options.passes?.(now);
    for (const flow of this.#waiting) {
      flow.ingress.expire(now);
      flow.egress.expire(now);
      if (flow.ingress.ended && flow.egress.ended) this.#retire(flow);
      else if (!flow.ingress.waiting && !flow.egress.waiting && flow.strays === null) this.#unwait(flow);
    }
    for (const flow of this.#closing) if (flow.closedAt + CLOSING_NS <= now) this.#close(flow);
    for (let flow = this.#active.first; flow !== null; flow = flow.next) flow.decoder?.tick(now);
    for (let flow = this.#active.first; flow !== null; flow = this.#active.first) {
      if (flow.listedAt + this.#idleNs > now) break;
      flow = this.#active.oldest();
      if (flow === null || flow.lastSeen + this.#idleNs > now) break;
      this.counters.idle++;
      this.#finish(flow, 'vanished', now);
    }
    for (let flow = this.#ended.first; flow !== null; flow = this.#ended.first) {
      if (flow.listedAt + ENDED_NS > now) break;
      this.#forget(flow);
    }
  }

  /** The capture is over: every connection ends. */
  finish(): void {
    for (const flow of this.#closing) this.#close(flow);
    for (let flow = this.#active.first; flow !== null; flow = this.#active.first)
      this.#finish(flow, 'capture_end', this.#now);
    for (let flow = this.#ended.first; flow !== null; flow = this.#ended.first) this.#forget(flow);
  }

  #account(leftOut: number, lostBytes: number, lostSegments: number): void {
    const { counters } = this.#context;
    counters.leftOutBytes += leftOut;
    counters.ringFullBytes += lostBytes;
    counters.ringFullSegments += lostSegments;
  }

  /** The connection this segment belongs to, made if need be; null when it is not worth one. */
  #flowOf(s: Segment): Flow | null {
    let flow = this.#last;
    if (flow === null || !this.#matches(flow, s)) flow = this.#byId.get(s.flow) ?? this.#adopt(s);
    if (flow === null) return s.length > 0 || (s.flags & TCP_SYN) !== 0 ? this.#create(s) : null;
    if ((s.flags & TCP_SYN) !== 0) return this.#synOf(flow, s);
    if (flow.decoder === null) {
      const stream = s.direction === INGRESS ? flow.ingress : flow.egress;
      // Late segments continue the old numbers; anything else on a reused port is a connection whose SYN was not seen. On a
      // listening socket that is the usual case, and Linux begins it just 64 KiB after the old one (tcp_tw_reuse): there
      // the acknowledgement tells them apart.
      const listening = s.flow === 0 && !this.#options.offline;
      if (s.length > 0 && (!stream.near(s.seq) || (listening && stream.peer.beyond(s.ack)))) return this.#create(s);
      return null;
    }
    this.#last = flow;
    return flow;
  }

  #matches(flow: Flow, s: Segment): boolean {
    if (s.flow !== 0) return flow.id === s.flow;
    return this.#table.is(flow.slot, s.addresses, s.addressesAt, s.localPort, s.remotePort);
  }

  /** By addresses: what was seen before the socket had a number, or anything when this has none itself. */
  #adopt(of: Segment | SocketEvent): Flow | null {
    const slot = this.#table.find(of.addresses, of.addressesAt, of.localPort, of.remotePort);
    const flow = slot < 0 ? null : this.#slots[slot]!;
    if (of.flow === 0 || flow === null) return flow;
    if (flow.id !== 0 || flow.decoder === null) return null;
    flow.id = of.flow;
    this.#byId.set(of.flow, flow);
    return flow;
  }

  /** A SYN: the beginning of this connection (once more, or late), or of a new one on the same addresses. */
  #synOf(known: Flow, s: Segment): Flow | null {
    const { direction, flags } = s;
    const acknowledges = (flags & TCP_ACK) !== 0;
    let flow = known;
    const same = (f: Flow): boolean => {
      const own = direction === INGRESS ? f.ingress : f.egress;
      return own.sameStart(s.seq) && (!acknowledges || own.peer.sameAnswer(s.ack));
    };
    if (flow.decoder === null) {
      const own = direction === INGRESS ? flow.ingress : flow.egress;
      if (own.fromSyn && same(flow)) return null;
      flow = this.#create(s);
    } else if (!same(flow)) {
      this.#finish(flow, 'vanished', s.ts);
      flow = this.#create(s);
    } else this.#begin(flow, s);
    this.#last = flow;
    return flow;
  }

  /** What a SYN says of a connection that has no bytes yet. */
  #begin(flow: Flow, s: Segment): void {
    const { connection } = flow;
    const own = s.direction === INGRESS ? flow.ingress : flow.egress;
    const acknowledges = (s.flags & TCP_ACK) !== 0;
    own.startsAt(s.seq + 1);
    if (acknowledges) own.peer.startsAt(s.ack);
    if (!own.fromSyn) return;
    connection.start = 'opened';
    if (connection.openedAt === UNSEEN) connection.openedAt = s.ts;
    if (connection.clientDirection === -1) {
      connection.clientDirection = acknowledges ? ((1 - s.direction) as Direction) : s.direction;
    }
  }

  #create(of: Segment | SocketEvent): Flow {
    if (this.#active.size >= this.#connectionsMax) {
      const oldest = this.#active.oldest();
      if (oldest !== null) {
        this.#options.losses.lose('connection_limit', 1, 0);
        this.#finish(oldest, 'evicted', of.ts);
      }
    }
    const { addresses, addressesAt, localPort, remotePort } = of;
    const local = { address: formatAddress(addresses, addressesAt), port: localPort };
    const remote = { address: formatAddress(addresses, addressesAt + 16), port: remotePort };
    const connection = new Connection(++this.counters.connections, local, remote);
    // Seen on a listening socket: nothing came before it.
    const listening = of.flow === 0 && !this.#options.offline;
    if (listening) {
      connection.side = 'server';
      connection.clientDirection = INGRESS;
      connection.start = 'opened';
      connection.openedAt = of.ts;
    }
    const decoder = this.#options.decoder(connection);
    const streams = Reassembler.pair(this.#context, decoder.streams[INGRESS], decoder.streams[EGRESS]);
    const slot = this.#freeSlots.pop() ?? this.#slots.length;
    const flow = new Flow(slot, of.flow, connection, decoder, streams, Math.max(of.ts, this.#now));
    if (this.#context.spare !== null) connection.wire = flow;
    this.#slots[slot] = flow;
    this.#table.add(slot, addresses, addressesAt, localPort, remotePort);
    if (of.flow !== 0) {
      const before = this.#byId.get(of.flow);
      if (before !== undefined) before.id = 0;
      this.#byId.set(of.flow, flow);
    }
    this.#active.append(flow);
    if ('seq' in of && (of.flags & TCP_SYN) !== 0) this.#begin(flow, of);
    this.#last = flow;
    return flow;
  }

  /** Perhaps another connection took over without a SYN that was seen. */
  #stray(flow: Flow, s: Segment): void {
    flow.strays ??= new Strays(this.#context);
    const others = flow.strays.take(s);
    if (others === null) {
      this.#wait(flow);
      return;
    }
    this.#finish(flow, 'vanished', s.ts);
    const next = this.#create(s);
    for (const other of others) {
      if (next.decoder === null) this.#context.counters.unusable += other.length;
      else this.#take(next, other);
    }
  }

  #reset(flow: Flow, by: Direction, ts: number): void {
    flow.connection.resetBy = by;
    this.#finish(flow, 'rst', ts, by);
  }

  /** Its socket is gone, and no segment has said how. */
  #close(flow: Flow): void {
    if (flow.abandoned) this.#reset(flow, EGRESS, flow.closedAt);
    else this.#finish(flow, 'vanished', flow.closedAt);
  }

  /** Ends what has not ended yet of both directions, that of `first` before the other. */
  #finish(flow: Flow, how: StreamEnd, ts: number, first: Direction = INGRESS): void {
    if (flow.decoder === null) return;
    const own = first === INGRESS ? flow.ingress : flow.egress;
    Reassembler.finish(own, own.peer, how, ts);
    this.#retire(flow);
  }

  #wait(flow: Flow): void {
    flow.waits = true;
    this.#waiting.add(flow);
  }

  #unwait(flow: Flow): void {
    flow.waits = false;
    this.#waiting.delete(flow);
  }

  /** Both directions have ended. */
  #retire(flow: Flow): void {
    if (flow.waits) this.#unwait(flow);
    this.#closing.delete(flow);
    flow.decoder = null;
    flow.strays?.drop();
    flow.strays = null;
    this.#calls.ended(flow);
    if (this.#last === flow) this.#last = null;
    this.#active.remove(flow);
    this.#ended.append(flow);
    if (this.#ended.size > ENDED_MAX && this.#ended.first !== null) this.#forget(this.#ended.first);
  }

  #forget(flow: Flow): void {
    this.#ended.remove(flow);
    this.#table.remove(flow.slot);
    this.#slots[flow.slot] = null;
    this.#freeSlots.push(flow.slot);
    if (flow.id === 0 || this.#byId.get(flow.id) !== flow) return;
    this.#byId.delete(flow.id);
    this.#calls.forget(flow);
  }
}
