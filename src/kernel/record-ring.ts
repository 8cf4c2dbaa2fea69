/**
 * Reads records of any kind from a small kernel ring (Documentation/bpf/ringbuf.rst): the rings beside the capture ring,
 * with a handful of records a second. By descriptor alone, without capabilities.
 */
import { Memory } from '../base/memory.ts';
import { type Mapping, mapShared, PAGE, type Poll, pollReadable } from './libbpf.ts';

const HEADER_BYTES = 8;
const BUSY = 0x8000_0000 | 0;
const DISCARDED = 0x4000_0000;
const LENGTH = 0x3fff_ffff;

/** `length` bytes at `memory[at]`, valid during the call only. */
export type TakeRecord = (memory: Memory, at: number, length: number) => void;

export class RecordRing {
  readonly #consumer: BigUint64Array;
  readonly #producer: BigUint64Array;
  readonly #headers: Int32Array;
  readonly #data: Memory;
  readonly #bytes: number;
  readonly #mappings: readonly Mapping[];
  readonly #poll: Poll;
  #position: number;

  private constructor(consumer: Mapping, producer: Mapping, fd: number, bytes: number) {
    this.#mappings = [consumer, producer];
    this.#consumer = new BigUint64Array(consumer.buffer, 0, 1);
    this.#producer = new BigUint64Array(producer.buffer, 0, 1);
    this.#headers = new Int32Array(producer.buffer, PAGE, (2 * bytes) / 4);
    this.#data = new Memory(producer.buffer, PAGE, 2 * bytes);
    this.#bytes = bytes;
    this.#poll = pollReadable(fd);
    this.#position = Number(this.#consumer[0]!);
  }

  /** `bytes` is the ring's size; an errno when it cannot be mapped. */
  static open(fd: number, bytes: number): RecordRing | number {
    const consumer = mapShared(fd, 0, PAGE, true);
    if (typeof consumer === 'number') return consumer;
    const producer = mapShared(fd, PAGE, PAGE + 2 * bytes, false);
    if (typeof producer === 'number') {
      consumer.release();
      return producer;
    }
    return new RecordRing(consumer, producer, fd, bytes);
  }

  /** Calls `take` for every record from now on, as they come; does not keep the process alive. */
  follow(take: TakeRecord): void {
    this.drain(take);
    this.#poll.arm(() => this.follow(take));
  }

  /** Everything that is there now; returns how many records. */
  drain(take: TakeRecord): number {
    const end = Number(Atomics.load(this.#producer, 0));
    let records = 0;
    while (this.#position < end) {
      const at = this.#position & (this.#bytes - 1);
      const header = Atomics.load(this.#headers, at >> 2);
      if ((header & BUSY) !== 0) break;
      const length = header & LENGTH;
      this.#position += (HEADER_BYTES + length + 7) & ~7;
      if ((header & DISCARDED) === 0) {
        records++;
        take(this.#data, at + HEADER_BYTES, length);
      }
    }
    Atomics.store(this.#consumer, 0, BigInt(this.#position));
    return records;
  }

  close(): void {
    this.#poll.close();
    for (const mapping of this.#mappings) mapping.release();
  }
}
