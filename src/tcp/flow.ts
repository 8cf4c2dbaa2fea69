import { UNSEEN } from '../base/clock.ts';
import type { Connection, Wire } from '../model/connection.ts';
import { type Direction, EGRESS, INGRESS, type Segment, type SocketEvent } from '../model/segment.ts';
import type { ConnectionDecoder } from '../model/stages.ts';
import type { Reassembler } from './reassembly.ts';
import type { Strays } from './strays.ts';

/** A connection in the tracker's table, and after its end what late segments are held against. */
export class Flow implements Wire {
  readonly slot: number;
  /** The source's number; 0 while only the addresses say which connection this is. */
  id: number;
  readonly connection: Connection;
  readonly ingress: Reassembler;
  readonly egress: Reassembler;
  /** null after the end. */
  decoder: ConnectionDecoder | null;
  lastSeen: number;
  /** `lastSeen` when it was put where it is in its list. */
  listedAt: number;
  /** In the tracker's set of connections that wait for a hole. */
  waits = false;
  /** When the source said that the socket closed; UNSEEN before. */
  closedAt = UNSEEN;
  /** By then its process had closed it, and the peer had not: nobody reads what the peer still sends. */
  abandoned = false;
  /** Calls that the source counted on it, told with its closing; 0: none, or it cannot tell. */
  calls = 0;
  /** Segments on its addresses that are perhaps another connection's. */
  strays: Strays | null = null;
  previous: Flow | null = null;
  next: Flow | null = null;

  constructor(
    slot: number,
    id: number,
    connection: Connection,
    decoder: ConnectionDecoder,
    streams: readonly [Reassembler, Reassembler],
    now: number,
  ) {
    this.slot = slot;
    this.id = id;
    this.connection = connection;
    this.decoder = decoder;
    this.ingress = streams[0];
    this.egress = streams[1];
    this.lastSeen = now;
    this.listedAt = now;
  }

  spare(direction: Direction, until: number): void {
    const reassembler = direction === INGRESS ? this.ingress : this.egress;
    if (this.id !== 0) reassembler.spare(this.id, direction, until);
  }

  /** Whether a segment on its addresses goes on where another connection's was, as far as `strays` tell. */
  isAnothers(s: Segment): boolean {
    this.ingress.settleJoin(s.ts);
    this.egress.settleJoin(s.ts);
    return this.strays?.expects(s) === true;
  }

  /** The source's first word on its socket: which bytes are the first, whatever comes first. */
  opened({ reached }: SocketEvent): void {
    if (reached[INGRESS] > 0) this.ingress.startsAt(reached[INGRESS]);
    if (reached[EGRESS] > 0) this.egress.startsAt(reached[EGRESS]);
  }

  /** The source's last word on its socket. */
  closed({ leftOut, shed, lostBytes, reached }: SocketEvent): void {
    const { ingress, egress } = this;
    ingress.account(leftOut[INGRESS], shed[INGRESS], lostBytes[INGRESS]);
    egress.account(leftOut[EGRESS], shed[EGRESS], lostBytes[EGRESS]);
    this.abandoned = egress.closing && ingress.endsOpen(reached[INGRESS]);
    ingress.reached(reached[INGRESS]);
    egress.reached(reached[EGRESS]);
  }
}

/** Flows in the order in which they were listed, so that moving one for each segment is not needed. */
export class FlowList {
  first: Flow | null = null;
  #last: Flow | null = null;
  size = 0;

  append(flow: Flow): void {
    flow.previous = this.#last;
    flow.next = null;
    flow.listedAt = flow.lastSeen;
    if (this.#last === null) this.first = flow;
    else this.#last.next = flow;
    this.#last = flow;
    this.size++;
  }

  /** The flow that was unused for longest; moves those that were used since they were listed. */
  oldest(): Flow | null {
    while (this.first !== null && this.first.lastSeen > this.first.listedAt) {
      const flow = this.first;
      this.remove(flow);
      this.append(flow);
    }
    return this.first;
  }

  remove(flow: Flow): void {
    if (flow.previous === null) this.first = flow.next;
    else flow.previous.next = flow.next;
    if (flow.next === null) this.#last = flow.previous;
    else flow.next.previous = flow.previous;
    flow.previous = null;
    flow.next = null;
    this.size--;
  }
}
