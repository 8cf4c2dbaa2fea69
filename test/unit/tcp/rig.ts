/** Drives a ConnectionTracker with segments written by hand and records what its decoders get. */
import { Memory } from '../../../src/base/memory.ts';
import type { Connection } from '../../../src/model/connection.ts';
import { LossLedger, type LossReason } from '../../../src/model/loss.ts';
import { type Direction, EGRESS, INGRESS, Segment, SocketEvent, TCP_ACK, TCP_SYN } from '../../../src/model/segment.ts';
import type { StreamEnd, StreamSink } from '../../../src/model/stages.ts';
import { FILE_LIMITS, LIVE_LIMITS } from '../../../src/tcp/context.ts';
import { ConnectionTracker, type TrackerOptions } from '../../../src/tcp/tracker.ts';

/** Where a gap was: its length in the text. */
export const gapMark = (length: number, why: string): string => `<${why} ${length}>`;

export class RecordingStream implements StreamSink {
  /** Bytes, with `<reason length>` where they miss and `$how` at the end. */
  text = '';
  position = 0;
  readonly acks: number[] = [];
  readonly times: number[] = [];
  /** Calls that the contract forbids. */
  readonly faults: string[] = [];
  readonly #log: string[];
  readonly #name: string;
  #ended = false;

  constructor(log: string[], name: string) {
    this.#log = log;
    this.#name = name;
  }

  data(memory: Memory, offset: number, length: number, position: number, ts: number, ack: number): void {
    this.#check(position, length);
    const bytes = memory.buf.toString('latin1', offset, offset + length);
    if (bytes.length !== length) this.faults.push(`bytes beyond the memory at ${position}`);
    this.text += bytes;
    this.#log.push(`${this.#name}${bytes}`);
    this.acks.push(ack);
    this.times.push(ts);
  }

  gap(position: number, length: number, why: LossReason | 'left_out', _ts: number): void {
    this.#check(position, length);
    this.text += gapMark(length, why);
  }

  end(how: StreamEnd, _ts: number): void {
    if (this.#ended) this.faults.push('ended twice');
    this.#ended = true;
    this.text += `$${how}`;
  }

  #check(position: number, length: number): void {
    if (this.#ended) this.faults.push(`bytes after the end at ${position}`);
    if (position !== this.position) this.faults.push(`position ${position} instead of ${this.position}`);
    if (!(length > 0)) this.faults.push(`length ${length}`);
    this.position = position + length;
  }
}

export interface Recorded {
  connection: Connection;
  ingress: RecordingStream;
  egress: RecordingStream;
  /** Data of both directions in the order of delivery, ">" before the ingress ones. */
  order: string[];
  ticks: number;
}

export interface SegmentSpec {
  dir?: Direction;
  seq: number;
  ack?: number;
  flags?: number;
  data?: string | Uint8Array;
  /** Payload length on the wire when it is more than `data`. */
  length?: number;
  ts?: number;
  flow?: number;
  leftOut?: number;
  lostBytes?: number;
  /** Sent again: the kernel saw every byte of it before. */
  again?: boolean;
  remotePort?: number;
}

export class Rig {
  readonly losses = new LossLedger();
  readonly connections: Recorded[] = [];
  readonly tracker: ConnectionTracker;
  readonly #segment = new Segment();
  readonly #event = new SocketEvent();
  readonly #addresses = Memory.from(
    Buffer.from('00000000000000000000ffff7f00000120010db8000000000000000000000001', 'hex'),
  );

  constructor(options: Partial<TrackerOptions> = {}) {
    this.tracker = new ConnectionTracker({
      losses: this.losses,
      offline: false,
      // A small history: thousands of these are made.
      limits: { ...(options.offline === true ? FILE_LIMITS : LIVE_LIMITS), historyBytes: 65_536 },
      decoder: (connection) => {
        const order: string[] = [];
        const recorded: Recorded = {
          connection,
          ingress: new RecordingStream(order, '>'),
          egress: new RecordingStream(order, '<'),
          order,
          ticks: 0,
        };
        this.connections.push(recorded);
        return { streams: [recorded.ingress, recorded.egress], tick: () => void recorded.ticks++ };
      },
      ...options,
    });
  }

  /** The last connection. */
  get last(): Recorded {
    return this.connections[this.connections.length - 1]!;
  }

  get faults(): string[] {
    return this.connections.flatMap((c) => [...c.ingress.faults, ...c.egress.faults]);
  }

  send(spec: SegmentSpec): this {
    const s = this.#segment;
    const data = typeof spec.data === 'string' ? Buffer.from(spec.data, 'latin1') : (spec.data ?? new Uint8Array());
    s.ts = spec.ts ?? 0;
    s.flow = spec.flow ?? 0;
    s.addresses = this.#addresses;
    s.localPort = 8080;
    s.remotePort = spec.remotePort ?? 40_000;
    s.direction = spec.dir ?? INGRESS;
    s.flags = (spec.flags ?? 0) | (spec.ack === undefined ? 0 : TCP_ACK);
    s.seq = spec.seq >>> 0;
    s.ack = (spec.ack ?? 0) >>> 0;
    // In the middle of other bytes, so that a wrong offset shows.
    s.memory = Memory.from(Buffer.concat([Buffer.from('###'), data, Buffer.from('###')]));
    s.offset = 3;
    s.captured = data.length;
    s.length = spec.length ?? data.length;
    s.leftOut = spec.leftOut ?? 0;
    s.lostBytes = spec.lostBytes ?? 0;
    s.again = spec.again ?? false;
    s.lostSegments = (spec.lostBytes ?? 0) > 0 ? 1 : 0;
    this.tracker.segment(s);
    return this;
  }

  event(kind: SocketEvent['kind'], flow: number, change: Partial<SocketEvent> = {}): this {
    const e = this.#event;
    e.kind = kind;
    e.flow = flow;
    e.ts = change.ts ?? 0;
    e.addresses = this.#addresses;
    e.localPort = 8080;
    e.remotePort = change.remotePort ?? 40_000;
    e.accepted = change.accepted ?? true;
    e.pid = change.pid ?? 0;
    e.calls = change.calls ?? 0;
    for (const i of [INGRESS, EGRESS]) {
      e.leftOut[i] = change.leftOut?.[i] ?? 0;
      e.shed[i] = change.shed?.[i] ?? 0;
      e.lostBytes[i] = change.lostBytes?.[i] ?? 0;
      e.reached[i] = change.reached?.[i] ?? -1;
    }
    this.tracker.socket(e);
    return this;
  }

  /** Payload bytes in minus payload bytes accounted for: must be 0 once finished. */
  get unaccounted(): number {
    const r = this.tracker.reassembly;
    return this.tracker.counters.bytes - r.delivered - r.cut - r.duplicate - r.unusable;
  }
}

/** A client's three segments and its server's answer; the client's first byte is 1000, the server's 5000. */
export const handshake = (rig: Rig, over: Partial<SegmentSpec> = {}): Rig =>
  rig
    .send({ seq: 999, flags: TCP_SYN, ...over })
    .send({ dir: EGRESS, seq: 4999, ack: 1000, flags: TCP_SYN, ...over })
    .send({ seq: 1000, ack: 5000, ...over });
