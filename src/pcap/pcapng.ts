/** The pcapng format (draft-ietf-opsawg-pcapng): sections of blocks; every section may have its own byte order. */
import { UNSEEN } from '../base/clock.ts';
import type { Memory } from '../base/memory.ts';
import { type FormatParser, PACKET_BYTES_MAX, type PacketSink } from './format.ts';
import { type Timeline, UnitClock } from './timeline.ts';

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const OLD_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const SECRETS = 10;
const BYTE_ORDER_MAGIC = 0x1a2b3c4d;

export const PCAPNG_HEADER_BYTES = 28;
/** Block type and length; the length stands at the end once more. */
const HEAD_BYTES = 8;
const FRAME_BYTES = 12;
/** Blocks that are read as a whole may be so long (a packet, its options); others are skipped at any length. */
const BLOCK_BYTES_MAX = PACKET_BYTES_MAX + 1024 * 1024;
/** Interfaces of a section; packets of further ones cannot be decoded. */
const INTERFACES_MAX = 65_536;

const OPTION_END = 0;
const OPTION_TSRESOL = 9;
const OPTION_TSOFFSET = 14;
/** if_tsresol when there is none: microseconds. */
const MICROSECONDS = 6;

interface Interface {
  readonly linkType: number;
  readonly snaplen: number;
  readonly clock: UnitClock;
}

/** Whether the four bytes at `at` begin a pcapng file. */
export function isPcapng(memory: Memory, at: number): boolean {
  return memory.view.getUint32(at) === SECTION;
}

export interface PcapngSink extends PacketSink {
  /** Keys embedded in the file (Decryption Secrets Block): their type, and bytes valid during the call only. */
  secrets(type: number, memory: Memory, offset: number, length: number): void;
  /** A packet block that cannot be used, and why. */
  unusable(what: string, length: number): void;
}

export class PcapngParser implements FormatParser {
  need = PCAPNG_HEADER_BYTES;
  pendingBytes = 0;
  damage: string | null = null;

  readonly #timeline: Timeline;
  readonly #sink: PcapngSink;
  #little = true;
  #interfaces: Interface[] = [];
  #blocks = 0;

  constructor(timeline: Timeline, sink: PcapngSink) {
    this.#timeline = timeline;
    this.#sink = sink;
  }

  get started(): boolean {
    return this.#blocks > 0;
  }

  parse(memory: Memory, from: number, to: number): number {
    const { view } = memory;
    let at = from;
    this.pendingBytes = 0;
    while (this.damage === null) {
      this.need = FRAME_BYTES;
      if (to - at < FRAME_BYTES) break;
      // The section's type reads the same in both byte orders; its byte order magic follows the length.
      if (view.getUint32(at) === SECTION) this.#section(memory, at);
      if (this.damage !== null) break;
      const type = view.getUint32(at, this.#little);
      const length = view.getUint32(at + 4, this.#little);
      if (length < FRAME_BYTES || length % 4 !== 0) {
        this.damage = `block ${this.#blocks + 1} claims a length of ${length} bytes`;
        break;
      }
      if (!isRead(type)) {
        this.#blocks++;
        at += length;
        if (at >= to) break;
        continue;
      }
      if (length > BLOCK_BYTES_MAX) {
        this.damage = `block ${this.#blocks + 1} claims a length of ${length} bytes`;
        break;
      }
      if (to - at < length) {
        this.need = length;
        this.pendingBytes = isPacket(type) ? length : 0;
        break;
      }
      if (view.getUint32(at + length - 4, this.#little) !== length) {
        this.damage = `block ${this.#blocks + 1} has two different lengths`;
        break;
      }
      this.#block(type, memory, at + HEAD_BYTES, at + length - 4);
      if (this.damage !== null) break;
      this.#blocks++;
      at += length;
    }
    return at;
  }

  #section(memory: Memory, at: number): void {
    const { view } = memory;
    if (view.getUint32(at + 8, true) === BYTE_ORDER_MAGIC) this.#little = true;
    else if (view.getUint32(at + 8, false) === BYTE_ORDER_MAGIC) this.#little = false;
    else this.damage = 'a section has no byte order';
  }

  /** One block's body, [at, end). Too short ones are counted, never read beyond. */
  #block(type: number, memory: Memory, at: number, end: number): void {
    const { view } = memory;
    const little = this.#little;
    switch (type) {
      case SECTION:
        if (end - at < 16) this.damage = 'a section header is too short';
        else {
          const major = view.getUint16(at + 4, little);
          if (major !== 1) this.damage = `its pcapng version is ${major}, and only 1 is known`;
        }
        this.#interfaces = [];
        return;
      case INTERFACE:
        if (end - at >= 8 && this.#interfaces.length < INTERFACES_MAX) this.#interface(memory, at, end);
        return;
      case ENHANCED_PACKET: {
        if (end - at < 20) {
          this.#sink.unusable('a packet block that is too short', end - at);
          return;
        }
        const high = view.getUint32(at + 4, little);
        const low = view.getUint32(at + 8, little);
        this.#packet(view.getUint32(at, little), high, low, true, memory, at + 12, end);
        return;
      }
      case OLD_PACKET: {
        if (end - at < 20) {
          this.#sink.unusable('a packet block that is too short', end - at);
          return;
        }
        const high = view.getUint32(at + 4, little);
        const low = view.getUint32(at + 8, little);
        this.#packet(view.getUint16(at, little), high, low, true, memory, at + 12, end);
        return;
      }
      case SIMPLE_PACKET:
        this.#simple(memory, at, end);
        return;
      default: {
        if (end - at < 8) return;
        const length = Math.min(view.getUint32(at + 4, little), end - at - 8);
        this.#sink.secrets(view.getUint32(at, little), memory, at + 8, length);
      }
    }
  }

  #interface(memory: Memory, at: number, end: number): void {
    const { view } = memory;
    const little = this.#little;
    let resolution = MICROSECONDS;
    let offset = 0n;
    for (let o = at + 8; o + 4 <= end; ) {
      const code = view.getUint16(o, little);
      const length = view.getUint16(o + 2, little);
      if (code === OPTION_END || o + 4 + length > end) break;
      if (code === OPTION_TSRESOL && length >= 1) resolution = view.getUint8(o + 4);
      if (code === OPTION_TSOFFSET && length >= 8) offset = view.getBigInt64(o + 4, little);
      o += 4 + ((length + 3) & ~3);
    }
    const exponent = BigInt(resolution & 0x7f);
    const unitsPerSecond = (resolution & 0x80) === 0 ? 10n ** exponent : 2n ** exponent;
    this.#interfaces.push({
      linkType: view.getUint16(at, little),
      snaplen: view.getUint32(at + 4, little),
      clock: new UnitClock(this.#timeline, unitsPerSecond, offset),
    });
  }

  /** Captured length, length on the wire and data stand at `at`. */
  #packet(id: number, high: number, low: number, timed: boolean, memory: Memory, at: number, end: number): void {
    const { view } = memory;
    const captured = view.getUint32(at, this.#little);
    const length = view.getUint32(at + 4, this.#little);
    const from = this.#interfaces[id];
    if (from === undefined) {
      this.#sink.unusable('an interface that the file does not describe', length);
      return;
    }
    if (captured > end - at - 8) {
      this.#sink.unusable('a packet longer than its block', length);
      return;
    }
    const ts = timed ? from.clock.time(high, low) : UNSEEN;
    this.#sink.packet(from.linkType, memory, at + 8, captured, Math.max(length, captured), ts);
  }

  /** A packet of the first interface, without a time; its captured length follows from the snaplen. */
  #simple(memory: Memory, at: number, end: number): void {
    const from = this.#interfaces[0];
    if (end - at < 4) {
      this.#sink.unusable('a packet block that is too short', end - at);
      return;
    }
    const length = memory.view.getUint32(at, this.#little);
    if (from === undefined) {
      this.#sink.unusable('an interface that the file does not describe', length);
      return;
    }
    const snaplen = from.snaplen === 0 ? length : from.snaplen;
    const captured = Math.min(length, snaplen, end - at - 4);
    this.#timeline.ensure();
    this.#sink.packet(from.linkType, memory, at + 4, captured, Math.max(length, captured), UNSEEN);
  }
}

function isPacket(type: number): boolean {
  return type === ENHANCED_PACKET || type === SIMPLE_PACKET || type === OLD_PACKET;
}

function isRead(type: number): boolean {
  return isPacket(type) || type === INTERFACE || type === SECTION || type === SECRETS;
}
