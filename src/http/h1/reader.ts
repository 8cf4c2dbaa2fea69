/**
 * Reads the lines of a head or trailer section, whole or piece by piece, and predicts them: a connection repeats itself,
 * so line i is first compared with what stood there in the block before. See the line table for what is remembered.
 *
 * Everything is judged line by line, when a line's LF is there: the same bytes give the same outcome however they were cut.
 */
import type { Memory } from '../../base/memory.ts';
import type { FieldBlock } from '../../model/fields.ts';
import { ANOMALY_BIT, type Message } from '../../model/message.ts';
import {
  type Entry,
  equalBytes,
  equalPrefix,
  hashBytes,
  KIND_LINE,
  KIND_NAME,
  KIND_START,
  LINE_BYTES_MAX,
  type LineTable,
  ROLE_CONTENT_LENGTH,
  ROLE_HOST,
  ROLE_NONE,
  ROLE_TRANSFER_ENCODING,
  ROLE_UPGRADE,
  type StartLine,
} from '../lines.ts';
import { readContentLength, readTransferEncoding } from './framing.ts';
import type { Head, HeadOutcome } from './head.ts';
import { SAW_BARE_CR, SAW_BARE_LF, SAW_CONTROL, SAW_NUL, skipBlank, TOKEN, trimBlank } from './scan.ts';
import { emptyStartLine, readBrokenRequestLine, readStartLine } from './start.ts';

/** Field lines in one block. */
const LINES_MAX = 10_240;
/** Lines that a connection remembers in each direction. */
const PREDICTED_MAX = 64;
/** How many predicted lines a block may leave out in a row and still be recognised. */
const LOOKAHEAD = 4;
/** Unknown start lines in a row after which the next ones are looked up now and then only. */
const START_MISSES_MAX = 8;

const SP = 32;
const HTAB = 9;
const CR = 13;
const LF = 10;
const COLON = 58;

/** One for each pipeline: the reader is the same for all connections, their Head differs. */
export class HeadReader {
  readonly #table: LineTable;
  readonly #start: StartLine = emptyStartLine();

  constructor(table: LineTable) {
    this.#table = table;
  }

  /**
   * Reads lines of the section that starts at `memory[base]` and is there up to `end`, from `head.at` on. Values that are
   * not shared are left as offsets from `base`. `own`: the memory may be changed (folding).
   */
  read(
    head: Head,
    message: Message,
    block: FieldBlock,
    memory: Memory,
    base: number,
    end: number,
    own: boolean,
  ): HeadOutcome {
    if (!head.started) {
      const outcome = this.#startLine(head, message, memory, base, end);
      if (outcome !== 'done') return outcome;
    }
    const view = memory.view;
    const entries = this.#table.entries;
    const predicted = head.learnt.predicted;
    const scan = head.scan;
    const curious = head.learnt.curious;
    let at = base + head.at;
    for (;;) {
      if (at >= end) break;
      // A line that is being searched does not repeat an earlier one byte by byte: see #otherLine.
      if (head.trailers === false && head.cursor < predicted.length && scan.searched <= at - base) {
        const entry = entries[predicted[head.cursor]!]!;
        if (at + entry.length <= end && equalBytes(view, at, entry) && block.count < LINES_MAX) {
          if (entry.kind === KIND_LINE) {
            entry.used = 1;
            head.cursor++;
            this.#take(head, block, entry, memory, at - base, base);
            at += entry.length;
            head.at = at - base;
            continue;
          }
          if (entry.kind === KIND_NAME && !curious) {
            const next = this.#otherValue(head, block, entry, memory, base, at, end);
            if (next > 0) {
              at = next;
              continue;
            }
          }
        }
      }
      const first = view.getUint8(at);
      if (first === CR || first === LF) {
        if (first === LF) {
          head.anomalies |= ANOMALY_BIT.bare_lf;
          head.at = at + 1 - base;
          return 'done';
        }
        if (at + 1 >= end) break;
        if (view.getUint8(at + 1) === LF) {
          head.at = at + 2 - base;
          return 'done';
        }
      }
      const outcome = this.#otherLine(head, block, memory, base, at, end, own);
      if (outcome !== 'done') return outcome;
      at = base + head.at;
    }
    return 'need_more';
  }

  #startLine(head: Head, message: Message, memory: Memory, base: number, end: number): HeadOutcome {
    const view = memory.view;
    const at = base;
    const { scan, learnt } = head;
    if (learnt.predictedStart >= 0 && scan.searched === 0) {
      const entry = this.#table.entries[learnt.predictedStart]!;
      if (entry.kind === KIND_START && at + entry.length <= end && equalBytes(view, at, entry)) {
        entry.used = 1;
        this.#started(head, message, entry.start!, entry.length);
        return 'done';
      }
    }
    const next = scan.find(view, base, end);
    if (next < 0) return 'need_more';
    const length = next - at;
    const likely = learnt.startMisses < START_MISSES_MAX || learnt.curious;
    const cacheable = likely && scan.flags === 0 && length <= LINE_BYTES_MAX && length >= 4;
    let hash = 0;
    if (cacheable) {
      hash = hashBytes(view, at, length, KIND_START);
      const entry = this.#table.find(view, at, length, hash, KIND_START);
      // A request line never reads as a status line nor the other way round, but the kind is checked all the same.
      if (entry !== null && entry.start!.status > 0 === (message.kind === 'response')) {
        learnt.predictedStart = entry.slot;
        learnt.startMisses = 0;
        this.#started(head, message, entry.start!, length);
        return 'done';
      }
    }
    learnt.startMisses++;
    const start = this.#start;
    if (!readStartLine(message.kind, memory, at, base + scan.contentEnd, scan.flags, start)) {
      if (message.kind === 'request') readBrokenRequestLine(memory, at, base + scan.contentEnd, message);
      head.anomalies |= start.anomalies;
      head.at = length;
      return 'bad';
    }
    if (cacheable && this.#table.seenBefore(hash)) {
      learnt.predictedStart = this.#table.addStart(memory, at, length, hash, { ...start }).slot;
    }
    this.#started(head, message, start, length);
    return 'done';
  }

  #started(head: Head, message: Message, start: StartLine, length: number): void {
    message.version = start.version;
    message.method = start.method;
    message.target = start.target;
    message.status = start.status;
    message.reason = start.reason;
    head.anomalies |= start.anomalies;
    head.started = true;
    head.at = length;
    head.scan.begin(length);
  }

  /** A line that is not the predicted one byte for byte. */
  #otherLine(
    head: Head,
    block: FieldBlock,
    memory: Memory,
    base: number,
    at: number,
    end: number,
    own: boolean,
  ): HeadOutcome {
    const view = memory.view;
    const scan = head.scan;
    let name = head.trailers ? null : this.#predictName(head, view, at, end);
    // Else the search goes on where it stopped.
    if (scan.searched <= at - base) scan.begin(at - base + (name === null ? 0 : name.nameEnd));
    const next = scan.find(view, base, end);
    if (next < 0) return 'need_more';
    const contentEnd = base + scan.contentEnd;
    const flags = scan.flags;
    if (name === null) {
      const first = view.getUint8(at);
      if (first === SP || first === HTAB) {
        if (!own) {
          scan.begin(at - base);
          return 'fold';
        }
        head.at = next - base;
        if (badFlags(head, flags)) return 'bad';
        return this.#unfold(head, block, memory, base, at, contentEnd) ? 'done' : 'bad';
      }
    }
    head.at = next - base;
    if (badFlags(head, flags)) return 'bad';
    if (block.count >= LINES_MAX) return 'too_many';
    const length = next - at;
    const table = this.#table;
    const foreseen = name !== null;
    // A line may outlive the entry of its name in the table.
    if (name !== null && table.entries[name.slot] !== name) name = table.name(memory, at, name.nameEnd - 1);
    const named = name ?? this.#readName(head, memory, at, contentEnd);
    if (named === null) return 'bad';
    const colon = at + named.nameEnd;
    const valueAt = skipBlank(view, colon, contentEnd);
    const valueLength = trimBlank(view, valueAt, contentEnd) - valueAt;

    let entry = named;
    // A name alone was predicted: its value was not known last time.
    const likely =
      !foreseen || table.entries[head.learnt.predicted[head.cursor]!]!.kind === KIND_LINE || head.learnt.curious;
    if (likely && (flags & ~SAW_CONTROL) === 0 && length <= LINE_BYTES_MAX && length >= 4) {
      const hash = hashBytes(view, colon, next - colon, named.hash);
      const known = table.find(view, at, length, hash, KIND_LINE);
      if (known !== null) entry = known;
      else if (table.seenBefore(hash) && table.worthKeeping(named)) {
        entry = table.addLine(memory, at, length, hash, named, valueAt - at, valueLength);
      }
    }
    if (!head.trailers) this.#learn(head, foreseen, entry.slot);
    head.lastEntry = entry;
    head.lastValueAt = valueAt - base;
    head.lastValueLength = valueLength;
    block.push(entry.line!, valueAt - base, valueLength);
    if (entry.line!.value === null) head.vary(block.count - 1, valueLength);
    if (named.role !== ROLE_NONE) {
      if (!head.trailers) meaning(head, named.role, memory, valueAt, valueLength);
      else if (named.role !== ROLE_UPGRADE) head.anomalies |= ANOMALY_BIT.forbidden_trailer;
    }
    return 'done';
  }

  /** A predicted line that is there byte for byte. */
  #take(head: Head, block: FieldBlock, entry: Entry, memory: Memory, offset: number, base: number): void {
    const valueAt = offset + entry.valueAt;
    block.push(entry.line!, valueAt, entry.valueLength);
    head.lastEntry = entry;
    head.lastValueAt = valueAt;
    head.lastValueLength = entry.valueLength;
    const name = entry.name!;
    name.repeated = (name.repeated + 1) & 0x3fffffff;
    if (entry.role !== ROLE_NONE) meaning(head, entry.role, memory, base + valueAt, entry.valueLength);
  }

  /**
   * The line at `at` has the predicted name, and its value was not known last time either: takes it without a look at the
   * table. Returns where the next line begins; 0: the line is not there whole, or not plain.
   */
  #otherValue(
    head: Head,
    block: FieldBlock,
    name: Entry,
    memory: Memory,
    base: number,
    at: number,
    end: number,
  ): number {
    const view = memory.view;
    let from = at + name.nameEnd;
    if (from + 3 > end) return 0;
    if (view.getUint8(from) === SP) from++;
    let o = from;
    for (;;) {
      if (o + 4 > end) return 0;
      const w = view.getInt32(o, true);
      const low = (w - 0x20202020) & ~w & 0x80808080;
      if (low !== 0) {
        // The lowest byte below 0x20 is the lowest bit that is set.
        o += (31 - Math.clz32(low & -low)) >> 3;
        break;
      }
      o += 4;
    }
    if (o + 2 > end || view.getUint8(o) !== CR || view.getUint8(o + 1) !== LF) return 0;
    if (o > from && (isBlank(view.getUint8(from)) || isBlank(view.getUint8(o - 1)))) return 0;
    name.used = 1;
    head.cursor++;
    head.lastEntry = name;
    head.lastValueAt = from - base;
    head.lastValueLength = o - from;
    head.at = o + 2 - base;
    head.vary(block.count, o - from);
    block.push(name.line!, from - base, o - from);
    if (name.role !== ROLE_NONE) meaning(head, name.role, memory, from, o - from);
    return o + 2;
  }

  /** The name of the line at `at`, if it is one of the next predicted; moves the cursor there. */
  #predictName(head: Head, view: DataView, at: number, end: number): Entry | null {
    const predicted = head.learnt.predicted;
    const entries = this.#table.entries;
    let last = head.cursor + LOOKAHEAD;
    if (last > predicted.length) last = predicted.length;
    for (let i = head.cursor; i < last; i++) {
      const entry = entries[predicted[i]!]!;
      if (entry.kind !== KIND_LINE && entry.kind !== KIND_NAME) continue;
      if (at + entry.nameEnd <= end && equalPrefix(view, at, entry.nameEnd, entry)) {
        head.cursor = i;
        return entry.name;
      }
    }
    return null;
  }

  /** Remembers what stood at the cursor: in place of what was predicted there, or between. */
  #learn(head: Head, predicted: boolean, slot: number): void {
    if (slot < 0) return;
    const list = head.learnt.predicted;
    if (predicted) list[head.cursor++] = slot;
    else if (head.cursor < PREDICTED_MAX) {
      // A list that only grows has lost touch with what comes.
      if (list.length >= PREDICTED_MAX) list.length = head.cursor;
      if (head.cursor === list.length) list.push(slot);
      else list.splice(head.cursor, 0, slot);
      head.cursor++;
    }
  }

  /** Reads and interns the name of the line at `at`; null when it is no field line. */
  #readName(head: Head, memory: Memory, at: number, contentEnd: number): Entry | null {
    const view = memory.view;
    let o = at;
    while (o < contentEnd && TOKEN[view.getUint8(o)] === 1) o++;
    if (o < contentEnd && o > at && view.getUint8(o) === COLON) return this.#table.name(memory, at, o - at);
    const blank = skipBlank(view, o, contentEnd);
    head.anomalies |=
      o > at && blank > o && blank < contentEnd && view.getUint8(blank) === COLON
        ? ANOMALY_BIT.whitespace_before_colon
        : ANOMALY_BIT.bad_field_line;
    return null;
  }

  /** Appends the folded line [at, contentEnd) to the value before it, after one space (RFC 9112 5.2). */
  #unfold(head: Head, block: FieldBlock, memory: Memory, base: number, at: number, contentEnd: number): boolean {
    head.anomalies |= ANOMALY_BIT.obs_fold;
    const entry = head.lastEntry;
    if (entry === null) {
      // Nothing to fold onto: whitespace between start line and first field (RFC 9112 2.2).
      head.anomalies |= ANOMALY_BIT.bad_field_line;
      return false;
    }
    const role = entry.role;
    if (role === ROLE_CONTENT_LENGTH || role === ROLE_TRANSFER_ENCODING) head.foldedFraming = true;
    const from = skipBlank(memory.view, at, contentEnd);
    const length = trimBlank(memory.view, from, contentEnd) - from;
    if (length === 0) return true;
    if (head.lastValueLength === 0) {
      head.lastValueAt = from - base;
      head.lastValueLength = length;
    } else {
      const to = base + head.lastValueAt + head.lastValueLength;
      memory.view.setUint8(to, SP);
      // To the left, byte by byte: thousands of folds of a byte each would pay for as many calls.
      for (let i = 0; i < length; i++) memory.view.setUint8(to + 1 + i, memory.view.getUint8(from + i));
      head.lastValueLength += length + 1;
    }
    const i = block.count - 1;
    block.lines[i] = entry.name!.line!;
    block.valueOffset[i] = head.lastValueAt;
    block.valueLength[i] = head.lastValueLength;
    return true;
  }
}

const isBlank = (c: number): boolean => c === SP || c === HTAB;

/** Notes what a line held; true when that cannot be trusted (RFC 9112 2.2, RFC 9110 5.5). */
function badFlags(head: Head, flags: number): boolean {
  if (flags === 0) return false;
  if ((flags & SAW_BARE_LF) !== 0) head.anomalies |= ANOMALY_BIT.bare_lf;
  if ((flags & SAW_CONTROL) !== 0) head.anomalies |= ANOMALY_BIT.bad_field_line;
  if ((flags & SAW_BARE_CR) !== 0) head.anomalies |= ANOMALY_BIT.bare_cr;
  if ((flags & SAW_NUL) !== 0) head.anomalies |= ANOMALY_BIT.nul_byte;
  return (flags & (SAW_BARE_CR | SAW_NUL)) !== 0;
}

function meaning(head: Head, role: number, memory: Memory, at: number, length: number): void {
  if (role === ROLE_HOST) head.hosts++;
  else if (role === ROLE_UPGRADE) head.upgrade = true;
  else if (role === ROLE_CONTENT_LENGTH) readContentLength(head, memory.view, at, at + length);
  else readTransferEncoding(head, memory, at, at + length);
}
