/** A capture file as a source: the same segments that the kernel's ring gives. */
import type { Readable } from 'node:stream';
import type { ClockAnchor } from '../base/clock.ts';
import { Memory } from '../base/memory.ts';
import type { LossSink } from '../model/loss.ts';
import type { CaptureSink } from '../model/stages.ts';
import { type FormatParser, PACKET_BYTES_MAX } from './format.ts';
import { CHUNK_BYTES, type Input, openInput, packing, STDIN } from './input.ts';
import { PacketDecoder, type Undecodable } from './packet.ts';
import { isPcap, PcapParser } from './pcap.ts';
import { isPcapng, PcapngParser } from './pcapng.ts';
import { Timeline } from './timeline.ts';

const MAGIC_BYTES = 4;
/** The parsers ask for no more than a block at once. */
const MEMORY_BYTES_MAX = PACKET_BYTES_MAX + 2 * CHUNK_BYTES;

export interface CaptureOptions {
  /** Called before the first segment, unless `anchor` is given. */
  readonly onAnchor?: (anchor: ClockAnchor) => void;
  /** The anchor of an earlier file, so that the times of several files agree. */
  readonly anchor?: ClockAnchor | null;
  /** Keys in the file (pcapng Decryption Secrets Block): the type as the format numbers it, a copy of the bytes. */
  readonly onSecrets?: (type: number, data: Buffer) => void;
  /** Awaited between pieces of the file: the place to wait for a slow output. */
  readonly between?: () => Promise<void>;
  /** What "-" reads. */
  readonly stdin?: Readable;
}

export type CaptureProblem = 'empty' | 'short_header' | 'folder' | 'unreadable' | 'unknown_format';

export type CaptureResult =
  | {
      readonly ok: true;
      /** Packets of every kind. */
      readonly packets: number;
      /** null when no packet came. */
      readonly anchor: ClockAnchor | null;
      /** Link types and the like that could not be decoded (counted as undecodable_packet), for people. */
      readonly undecodable: readonly Undecodable[];
      /** Why the file ended early (counted as file_truncated); null: it did not. */
      readonly cut: string | null;
    }
  | { readonly ok: false; readonly problem: CaptureProblem; readonly message: string };

/**
 * Reads a pcap or pcapng file (gzip or zstd around it, "-" for standard input) and hands its TCP segments to `sink`.
 * Memory does not depend on the file's size. Never rejects for what the file holds or lacks.
 */
export async function readCapture(
  path: string,
  sink: CaptureSink,
  losses: LossSink,
  options: CaptureOptions = {},
): Promise<CaptureResult> {
  const name = path === STDIN ? 'standard input' : path;
  const fail = (problem: CaptureProblem, why: string): CaptureResult => ({
    ok: false,
    problem,
    message: `cannot read ${name}: ${why}`,
  });
  let input: Input | null = null;
  try {
    input = await openInput(path, options.stdin ?? null);
    const window = new Window(input);
    await window.fill(MAGIC_BYTES);
    if (window.length === 0) return fail('empty', 'it is empty');
    if (window.length < MAGIC_BYTES) return fail('short_header', 'it ends within the file header');
    const packed = packing(window.memory.view.getUint32(0, true));
    if (packed !== null) {
      const { unpack } = await import('./unpacked.ts');
      input = unpack(packed, input, window.memory, window.length);
      window.restart(input);
      await window.fill(MAGIC_BYTES);
      if (window.broken !== null) return fail('unreadable', `it cannot be unpacked (${window.broken})`);
      if (window.length < MAGIC_BYTES) return fail('empty', 'it is empty once unpacked');
    }
    const timeline = new Timeline(options.anchor ?? null, (anchor) => options.onAnchor?.(anchor));
    const packets = new PacketDecoder(sink, losses);
    const parser = parserFor(window.memory, timeline, packets, options);
    if (parser === null) {
      const magic = window.memory.buf.toString('hex', 0, MAGIC_BYTES);
      return fail('unknown_format', `it is neither pcap nor pcapng (it begins with ${magic})`);
    }
    const end = await parseAll(window, parser, options.between);
    if (!parser.started) {
      if (parser.damage !== null) return fail('unknown_format', parser.damage);
      return fail('short_header', 'it ends within the file header');
    }
    if (end.cut !== null) losses.lose('file_truncated', 1, end.missing);
    return {
      ok: true,
      packets: packets.packets,
      anchor: timeline.anchor,
      undecodable: packets.undecodable,
      cut: end.cut,
    };
  } catch (error) {
    const code = errorCode(error);
    if (code === null) throw error;
    if (code === 'EISDIR') return fail('folder', 'it is a folder; name a pcap or pcapng file');
    return fail('unreadable', SYSTEM_ERRORS[code] ?? code);
  } finally {
    await input?.close();
  }
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOTDIR: 'a part of its path is no folder',
  EIO: 'the device reports an input/output error',
};

/** What the system (ENOENT) or the unpacker (Z_DATA_ERROR) calls an error; null for anything else. */
function errorCode(error: unknown): string | null {
  const code = error instanceof Error ? (error as NodeJS.ErrnoException).code : undefined;
  return typeof code === 'string' && !code.startsWith('ERR_') ? code : null;
}

function parserFor(
  memory: Memory,
  timeline: Timeline,
  packets: PacketDecoder,
  options: CaptureOptions,
): FormatParser | null {
  if (isPcap(memory, 0)) return new PcapParser(timeline, packets);
  if (!isPcapng(memory, 0)) return null;
  return new PcapngParser(timeline, {
    packet: packets.packet.bind(packets),
    unusable: packets.unusable.bind(packets),
    secrets: (type, from, offset, length) =>
      options.onSecrets?.(type, Buffer.from(from.buf.subarray(offset, offset + length))),
  });
}

/** Why the packets end before the file format says so (null: they do not), and the bytes of the packet that misses. */
interface End {
  readonly cut: string | null;
  readonly missing: number;
}

/** Bytes between two looks at the output: HTTP/2 makes many lines of a few bytes. */
const STEP_BYTES = 64 << 10;

async function parseAll(window: Window, parser: FormatParser, between?: () => Promise<void>): Promise<End> {
  for (;;) {
    const full = await window.fill(parser.need);
    const to = Math.min(window.end, window.start + Math.max(STEP_BYTES, parser.need));
    if (full) window.advance(parser.parse(window.memory, window.start, to));
    if (parser.damage !== null) return { cut: `it is damaged: ${parser.damage}`, missing: window.length };
    if (between !== undefined) await between();
    if (full) continue;
    if (window.broken !== null)
      return { cut: `it cannot be unpacked further (${window.broken})`, missing: window.length };
    if (window.length === 0 && window.skip === 0) return { cut: null, missing: 0 };
    return { cut: 'its last packet is cut short', missing: parser.pendingBytes || window.length };
  }
}

/** The part of the input that is in memory: [start, end) of one block that is used again and again. */
class Window {
  memory = Memory.alloc(CHUNK_BYTES);
  start = 0;
  end = 0;
  /** Bytes to be left out before the next ones that matter. */
  skip = 0;
  /** What the unpacker said when it met damage. */
  broken: string | null = null;
  #input: Input;

  constructor(input: Input) {
    this.#input = input;
  }

  get length(): number {
    return this.end - this.start;
  }

  restart(input: Input): void {
    this.#input = input;
    this.start = 0;
    this.end = 0;
  }

  /** Goes on at `to`, which may lie beyond what is in memory. */
  advance(to: number): void {
    this.skip = Math.max(0, to - this.end);
    this.start = Math.min(to, this.end);
  }

  /** Makes at least `need` bytes available; false when the input ends before. */
  async fill(need: number): Promise<boolean> {
    while (this.skip > 0 || this.length < need) {
      this.#makeRoom(need);
      const n = await this.#read();
      if (n === 0) return false;
      const skipped = Math.min(n, this.skip);
      this.skip -= skipped;
      this.end += n;
      this.start += skipped;
    }
    return true;
  }

  #makeRoom(need: number): void {
    if (this.start > 0) {
      this.memory.buf.copyWithin(0, this.start, this.end);
      this.end -= this.start;
      this.start = 0;
    }
    if (need <= this.memory.size) return;
    const memory = Memory.alloc(Math.min(MEMORY_BYTES_MAX, Math.max(need, this.memory.size * 2)));
    this.memory.buf.copy(memory.buf, 0, 0, this.end);
    this.memory = memory;
  }

  async #read(): Promise<number> {
    try {
      return await this.#input.read(this.memory, this.end, this.memory.size - this.end);
    } catch (error) {
      const code = errorCode(error);
      if (code === null || !(code.startsWith('Z') || code === 'UNKNOWN')) throw error;
      this.broken = error instanceof Error ? error.message : code;
      return 0;
    }
  }
}
