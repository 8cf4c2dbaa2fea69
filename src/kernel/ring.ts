/**
 * Reads the kernel's ring buffer in place (Documentation/bpf/ringbuf.rst). Works by descriptors alone, in a process
 * without capabilities. Records are decoded into one reused Segment and one reused SocketEvent, whose payload is the
 * ring's own memory: the data area is mapped twice in a row, so that a record that wraps is contiguous.
 */
import { UNSEEN } from '../base/clock.ts';
import { type Lasting, Memory } from '../base/memory.ts';
import { type Direction, Segment } from '../model/segment.ts';
import type { CaptureSink } from '../model/stages.ts';
import * as abi from './abi.ts';
import type { KernelAnchor } from './clock.ts';
import { fail, type Mapping, mapShared, type Outcome, PAGE, succeed } from './libbpf.ts';
import type { RingDescriptors, RingLayout } from './load.ts';
import { errnoName } from './posix.ts';
import { RecordTime, SocketRecord, s64, u64 } from './socket-record.ts';

/** Ring record header: a 32-bit length with two flags, then 32 bits that are the kernel's own. */
const HEADER_BYTES = 8;
const BUSY = 0x8000_0000 | 0;
const DISCARDED = 0x4000_0000;
const LENGTH = 0x3fff_ffff;
/**
 * The kernel lays the data out twice in a row, so that a record which begins at its end goes on behind it. Of the second time only
 * as much is mapped as the longest record needs (a piece of a segment, 8 KiB and its header): all of it would count as the process's memory.
 */
const RECORD_ROOM = 64 << 10;

export class Ring implements Lasting {
  /** Records that were not what the ABI says; each was skipped. */
  malformed = 0;
  /** Records handed to the sink. */
  records = 0;
  /** Time of the last record handed to the sink. */
  readUpTo: number = UNSEEN;
  readonly #mappings: readonly Mapping[];
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  readonly #headers: Int32Array;
  readonly #data: Memory;
  readonly #bytes: number;
  readonly #mask: number;
  /** A record of this length fits wherever it begins. */
  readonly #lengthMax: number;
  /** Bytes read after which the kernel gets its room back, also within a batch. */
  readonly #giveBackBytes: number;
  readonly #reader: Uint32Array;
  readonly #time: RecordTime;
  readonly #segment = new Segment();
  readonly #socketRecord: SocketRecord;
  #position: number;

  private constructor(mappings: readonly [Mapping, Mapping, Mapping], layout: RingLayout, anchor: KernelAnchor) {
    const [consumer, producer, control] = mappings;
    this.#mappings = mappings;
    this.#consumer = new BigUint64Array(consumer.buffer, 0, 1);
    this.#producer = new BigUint64Array(producer.buffer, 0, 1);
    this.#headers = new Int32Array(producer.buffer, PAGE, layout.ringBytes / 4);
    this.#data = new Memory(producer.buffer, PAGE);
    this.#bytes = layout.ringBytes;
    this.#lengthMax = this.#data.size - layout.ringBytes - HEADER_BYTES;
    this.#mask = layout.ringBytes - 1;
    this.#giveBackBytes = layout.ringBytes / 8;
    this.#reader = new Uint32Array(control.buffer, abi.CONTROL_READER, 1);
    this.#time = new RecordTime(anchor);
    this.#socketRecord = new SocketRecord(this.#data, this.#time);
    this.#position = Number(this.#consumer[0]!);
    this.#segment.memory = this.#data;
    this.#segment.addresses = this.#data;
    this.#data.lasting = this;
  }

  /** Maps the ring. `anchor` is the moment that becomes `ts === 0`. */
  static open(descriptors: RingDescriptors, layout: RingLayout, anchor: KernelAnchor): Outcome<Ring> {
    const consumer = mapShared(descriptors.ring, 0, PAGE, true);
    const { ringBytes } = layout;
    const producer = mapShared(descriptors.ring, PAGE, PAGE + ringBytes + Math.min(ringBytes, RECORD_ROOM), false);
    const control = mapShared(descriptors.control, 0, PAGE, true);
    if (typeof consumer === 'number' || typeof producer === 'number' || typeof control === 'number') {
      const errno = [consumer, producer, control].find((m) => typeof m === 'number') as number;
      for (const m of [consumer, producer, control]) if (typeof m !== 'number') m.release();
      return fail(
        'map_failed',
        `Cannot map the capture ring (${errnoName(errno)}): was it handed over by the attacher?`,
      );
    }
    return succeed(new Ring([consumer, producer, control], layout, anchor));
  }

  /**
   * A ring over memory that somebody else writes, laid out as the kernel's: consumer page, producer page and data with room for
   * a record behind it, control page.
   */
  static over(
    consumer: ArrayBuffer,
    producer: ArrayBuffer,
    control: ArrayBuffer,
    layout: RingLayout,
    anchor: KernelAnchor,
  ): Ring {
    const unmapped = (buffer: ArrayBuffer): Mapping => ({ buffer, release: () => undefined });
    return new Ring([unmapped(consumer), unmapped(producer), unmapped(control)], layout, anchor);
  }

  get size(): number {
    return this.#bytes;
  }

  /** How many bytes the kernel has written since the ring was made: the end of the newest record. */
  get end(): number {
    return Number(Atomics.load(this.#producer, 0));
  }

  /** Bytes of the ring that are taken: written and not yet read. */
  get used(): number {
    return this.end - this.#position;
  }

  /** Tells the programs for what to wake whoever waits for the ring's descriptor: one of abi.READER_*. */
  setReader(does: number): void {
    Atomics.store(this.#reader, 0, does);
  }

  /**
   * Hands at most `maxRecords` records to the sink, none from beyond `end`; returns how many. What a record points to (payload,
   * addresses) is valid during the sink's call only: then its room goes back to the kernel.
   */
  drain(sink: CaptureSink, maxRecords: number, end = this.end): number {
    let position = this.#position;
    let given = position;
    let records = 0;
    // The position moves on before the sink is called: a record that makes it throw is not met again.
    while (position < end && records < maxRecords) {
      const at = position & this.#mask;
      const header = Atomics.load(this.#headers, at >> 2);
      if ((header & BUSY) !== 0) break;
      const length = header & LENGTH;
      const next = position + ((HEADER_BYTES + length + 7) & ~7);
      if (length > this.#lengthMax || next > end) {
        // Not a record: nothing after it can be found either. Give everything back and go on with what comes.
        this.malformed++;
        position = end;
        break;
      }
      position = next;
      if ((header & DISCARDED) !== 0) continue;
      records++;
      this.#position = position;
      this.#deliver(sink, at + HEADER_BYTES, length);
      if (position - given >= this.#giveBackBytes) {
        Atomics.store(this.#consumer, 0, BigInt(position));
        given = position;
      }
    }
    this.#position = position;
    if (position !== given) Atomics.store(this.#consumer, 0, BigInt(position));
    this.records += records;
    return records;
  }

  /** Of a byte of the record in hand: how many bytes the kernel had written before it. */
  addressOf(offset: number): number {
    const end = this.#position;
    return end - (((end & this.#mask) - offset) & this.#mask);
  }

  offsetOf(address: number): number {
    return address & this.#mask;
  }

  /** The kernel says how far it will write before it does. */
  intact(address: number): boolean {
    return this.end - address <= this.#bytes;
  }

  /** Unmaps. Only when no sink holds the ring's memory any more. */
  close(): void {
    for (const mapping of this.#mappings) mapping.release();
  }

  #deliver(sink: CaptureSink, at: number, length: number): void {
    const view = this.#data.view;
    if (length < abi.SEGMENT_SIZE) {
      this.malformed++;
      return;
    }
    const kind = view.getUint8(at + abi.SEGMENT_KIND);
    if (kind === abi.KIND_SEGMENT) {
      const s = this.#segment;
      const captured = view.getUint32(at + abi.SEGMENT_CAPTURED, true);
      s.length = view.getUint32(at + abi.SEGMENT_LENGTH, true);
      if (captured > length - abi.SEGMENT_SIZE || captured > s.length) {
        this.malformed++;
        return;
      }
      s.captured = captured;
      const marks = view.getUint8(at + abi.SEGMENT_MARKS);
      s.shed = marks & (abi.MARK_SHED_BODY | abi.MARK_SHED_HEAD);
      s.turn = (marks & abi.MARK_TURN) !== 0;
      s.again = (marks & abi.MARK_AGAIN) !== 0;
      s.records = view.getUint16(at + abi.SEGMENT_RECORDS, true);
      s.turns = view.getInt16(at + abi.SEGMENT_TURNS, true);
      s.ts = this.#time.read(view, at + abi.SEGMENT_TS);
      this.readUpTo = s.ts;
      s.flow = u64(view, at + abi.SEGMENT_COOKIE);
      s.addressesAt = at + abi.SEGMENT_LOCAL;
      s.localPort = view.getUint16(at + abi.SEGMENT_LOCAL_PORT, true);
      s.remotePort = view.getUint16(at + abi.SEGMENT_REMOTE_PORT, true);
      s.direction = (view.getUint8(at + abi.SEGMENT_DIRECTION) & 1) as Direction;
      s.flags = view.getUint8(at + abi.SEGMENT_TCP_FLAGS);
      s.seq = view.getUint32(at + abi.SEGMENT_SEQ, true);
      s.ack = view.getUint32(at + abi.SEGMENT_ACK, true);
      s.offset = at + abi.SEGMENT_PAYLOAD;
      s.leftOut = s64(view, at + abi.SEGMENT_LEFT_OUT);
      s.lostBytes = s64(view, at + abi.SEGMENT_LOST_BYTES);
      s.lostSegments = view.getInt16(at + abi.SEGMENT_LOST_SEGMENTS, true);
      sink.segment(s);
      return;
    }
    const event = length >= abi.SOCKET_SIZE ? this.#socketRecord.read(at) : null;
    if (event === null) {
      this.malformed++;
      return;
    }
    this.readUpTo = event.ts;
    sink.socket(event);
  }
}
