/** What a header block says: its pseudo-header fields, and what was wrong with it; regular lines go to the message's block. */
import type { FieldBlock, FieldLine } from '../../model/fields.ts';

/** Lines of one block, and octets of all of them as RFC 9113 6.5.2 counts, so that a block cannot grow a hundredfold. */
const LINES_MAX = 4_096;
const LIST_BYTES_MAX = 256 << 10;
const LINE_OVERHEAD = 32;
/** Pseudo-header fields that a block may have; more are an anomaly and not kept. */
const PSEUDO_MAX = 16;

/** What a block held besides its regular lines; reused from block to block. */
export class HeaderList {
  /** Pseudo-header fields in order; a value that is not its line's lies in the block's memory. */
  readonly pseudo: FieldLine[] = [];
  readonly pseudoAt: number[] = [];
  readonly pseudoLength: number[] = [];
  pseudoCount = 0;
  /** A pseudo-header field stood behind a regular one, or there were too many. */
  pseudoMisplaced = false;
  /** A name had capitals or a character that no name has (RFC 9113 8.2.1). */
  badName = false;
  /** Lines that name an entry which was not seen. */
  unknown = 0;
  /** Octets of lines that are over a bound and were left out. */
  dropped = 0;
  /** Bytes of the block's memory that are used. */
  used = 0;
  /** Octets of all lines. */
  size = 0;

  clear(): void {
    this.pseudoCount = 0;
    this.pseudoMisplaced = false;
    this.badName = false;
    this.unknown = 0;
    this.dropped = 0;
    this.used = 0;
    this.size = 0;
  }
}

/** Puts a line where it belongs, unless the block is over its bounds. */
export function push(block: FieldBlock, list: HeaderList, line: FieldLine, at: number, length: number): void {
  const octets = line.octets + length;
  list.size += octets + LINE_OVERHEAD;
  if (list.size > LIST_BYTES_MAX || block.count >= LINES_MAX) {
    list.dropped += octets;
    return;
  }
  if (!line.pseudo) {
    block.push(line, at, length);
    return;
  }
  // A line that is not known may be a pseudo-header field itself.
  if (block.count > list.unknown || list.pseudoCount >= PSEUDO_MAX) {
    list.pseudoMisplaced = true;
    return;
  }
  const i = list.pseudoCount++;
  list.pseudo[i] = line;
  list.pseudoAt[i] = at;
  list.pseudoLength[i] = length;
}
