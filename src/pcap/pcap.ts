/** The classic pcap format (draft-ietf-opsawg-pcap): a file header, then packets with a 16-byte header each. */
import type { Memory } from '../base/memory.ts';
import { type FormatParser, PACKET_BYTES_MAX, type PacketSink } from './format.ts';
import { SecondsClock, type Timeline } from './timeline.ts';

const MAGIC_US = 0xa1b2c3d4;
const MAGIC_NS = 0xa1b23c4d;
export const PCAP_HEADER_BYTES = 24;
const RECORD_HEADER_BYTES = 16;

/** Whether the four bytes at `at` begin a pcap file, in either byte order. */
export function isPcap(memory: Memory, at: number): boolean {
  return [true, false].some((little) => [MAGIC_US, MAGIC_NS].includes(memory.view.getUint32(at, little)));
}

export class PcapParser implements FormatParser {
  need = PCAP_HEADER_BYTES;
  pendingBytes = 0;
  damage: string | null = null;

  readonly #timeline: Timeline;
  readonly #sink: PacketSink;
  #clock: SecondsClock | null = null;
  #little = true;
  #linkType = 0;
  #packets = 0;

  constructor(timeline: Timeline, sink: PacketSink) {
    this.#timeline = timeline;
    this.#sink = sink;
  }

  get started(): boolean {
    return this.#clock !== null;
  }

  parse(memory: Memory, from: number, to: number): number {
    let at = from;
    if (this.#clock === null) {
      if (to - at < PCAP_HEADER_BYTES) return at;
      this.#header(memory, at);
      at += PCAP_HEADER_BYTES;
    }
    const clock = this.#clock;
    if (clock === null) return at;
    const { view } = memory;
    const little = this.#little;
    this.pendingBytes = 0;
    this.need = RECORD_HEADER_BYTES;
    while (to - at >= RECORD_HEADER_BYTES && this.damage === null) {
      const captured = view.getUint32(at + 8, little);
      const length = view.getUint32(at + 12, little);
      if (captured > PACKET_BYTES_MAX) {
        this.damage = `packet ${this.#packets + 1} claims ${captured} captured bytes`;
        break;
      }
      if (to - at < RECORD_HEADER_BYTES + captured) {
        this.need = RECORD_HEADER_BYTES + captured;
        this.pendingBytes = captured;
        break;
      }
      const ts = clock.time(view.getUint32(at, little), view.getUint32(at + 4, little));
      this.#packets++;
      at += RECORD_HEADER_BYTES;
      this.#sink.packet(this.#linkType, memory, at, captured, Math.max(length, captured), ts);
      at += captured;
    }
    return at;
  }

  #header(memory: Memory, at: number): void {
    const { view } = memory;
    const magic = view.getUint32(at, true);
    this.#little = magic === MAGIC_US || magic === MAGIC_NS;
    const nanoseconds = view.getUint32(at, this.#little) === MAGIC_NS;
    const major = view.getUint16(at + 4, this.#little);
    if (major !== 2) {
      this.damage = `its pcap version is ${major}, and only 2 is known`;
      return;
    }
    // The upper bits tell of a frame check sequence; the IP lengths make it irrelevant.
    this.#linkType = view.getUint32(at + 20, this.#little) & 0xffff;
    this.#clock = new SecondsClock(this.#timeline, nanoseconds ? 1 : 1000);
  }
}
