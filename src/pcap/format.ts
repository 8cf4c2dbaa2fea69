import type { Memory } from '../base/memory.ts';

/** Larger than any packet that is captured (BIG TCP ends at 512 KiB); a longer one says that the file is damaged. */
export const PACKET_BYTES_MAX = 4 * 1024 * 1024;

/** Takes packets as a file format holds them. */
export interface PacketSink {
  /**
   * `captured` of `length` bytes of a packet of link type `linkType` (https://www.tcpdump.org/linktypes.html), at
   * `memory[offset]`, valid during the call only. `ts` in nanoseconds since the anchor, or UNSEEN.
   */
  packet(linkType: number, memory: Memory, offset: number, captured: number, length: number, ts: number): void;
}

/** Parses a file format piece by piece; pure: it keeps no bytes and reads nothing. */
export interface FormatParser {
  /**
   * Parses the whole records in [from, to) and returns where the first incomplete one begins (`to` or less, more when
   * bytes are to be skipped that are not there yet).
   */
  parse(memory: Memory, from: number, to: number): number;
  /** Bytes that must be there, from where `parse` stopped, before calling it again makes sense. */
  readonly need: number;
  /** Bytes of packet data in the record where `parse` stopped; 0 when not known. */
  readonly pendingBytes: number;
  /** The file header has been read. */
  readonly started: boolean;
  /** Set when the file contradicts itself; nothing after this can be read. */
  readonly damage: string | null;
}
