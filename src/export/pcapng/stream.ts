/**
 * A pcapng file as it comes into being: segments in, whole blocks out, in bounded memory. Packets wait a moment before they
 * go out, because secrets may come after the packets that they open, and readers want them before.
 */
import type { Segment } from '../../model/segment.ts';
import { fileHead, secretsBlock, statisticsBlock } from './blocks.ts';
import { OneSide } from './one-side.ts';
import { packetsOf, roomFor, writePackets } from './packet.ts';

const BATCH_BYTES = 256 << 10;
/** Packets wait this long when secrets may come: taps are read, and looked up, many times meanwhile. */
const HOLD_MS = 300;

export interface PcapngOptions {
  /** Program and version. */
  readonly application: string;
  /** Unix time of the segments' time 0, nanoseconds. */
  readonly wallNs: bigint;
  /** Secrets may come (`secrets`). */
  readonly secrets: boolean;
  /** Takes whole blocks, in order; `release` gives the memory back, to be called once, at any time. */
  readonly write: (bytes: Buffer, release: () => void) => void;
  /** Bytes that may be here or with whoever was handed them. */
  readonly bytesMax: number;
  /** A packet had no room. */
  readonly dropped: (packets: number, bytes: number) => void;
}

interface Batch {
  readonly bytes: Buffer;
  fill: number;
  /** When its last packet came, ms. */
  at: number;
}

const HEADERS_NOTE =
  'Packets as Headwater captured them: IP and TCP headers are made from what the kernel hands over (addresses, ports, numbers, flags, lengths); ' +
  'options, windows and checksums are not known, and acknowledgements without payload are not captured. Payload beyond the capture window is left out.';

export class PcapngStream {
  received = 0;
  #dropped = 0;
  readonly #options: PcapngOptions;
  readonly #side = new OneSide();
  readonly #held: Batch[] = [];
  #open: Batch | null = null;
  #bytes = 0;

  constructor(options: PcapngOptions) {
    this.#options = options;
    this.#write(fileHead(options.application, HEADERS_NOTE, 'headwater'));
  }

  /** Takes a segment; `nowMs` is any clock that does not step, the same as that of `tick`. */
  segment(s: Segment, nowMs: number): void {
    if (!this.#side.keeps(s)) return;
    const packets = packetsOf(s);
    this.received += packets;
    const comment = missing(s);
    const room = roomFor(s, comment);
    let batch = this.#open;
    if (batch === null || batch.fill + room > batch.bytes.length) {
      const size = Math.max(BATCH_BYTES, room);
      if (this.#bytes + size > this.#options.bytesMax) {
        this.#dropped += packets;
        this.#options.dropped(packets, s.length);
        return;
      }
      this.#close();
      batch = { bytes: Buffer.allocUnsafeSlow(size), fill: 0, at: nowMs };
      this.#bytes += size;
      this.#open = batch;
    }
    const atNs = this.#options.wallNs + BigInt(Math.round(s.ts));
    batch.fill += writePackets(batch.bytes, batch.fill, s, atNs, comment);
    batch.at = nowMs;
  }

  /** Lines of a key log; copied, and zeroed when they were handed on. */
  secrets(keyLog: Buffer): void {
    this.#write(secretsBlock(keyLog));
  }

  /** Hands on what has waited long enough; several times a second. */
  tick(nowMs: number): void {
    this.#close();
    const upTo = this.#options.secrets ? nowMs - HOLD_MS : nowMs;
    while (this.#held.length > 0 && this.#held[0]!.at <= upTo) this.#handOn(this.#held.shift()!);
  }

  /** Hands on everything, and the numbers at the end. */
  end(): void {
    this.#close();
    for (const batch of this.#held.splice(0)) this.#handOn(batch);
    this.#write(statisticsBlock(BigInt(Date.now()) * 1_000_000n, this.received, this.#dropped));
  }

  #close(): void {
    if (this.#open === null) return;
    this.#held.push(this.#open);
    this.#open = null;
  }

  #handOn({ bytes, fill }: Batch): void {
    this.#options.write(bytes.subarray(0, fill), () => {
      this.#bytes -= bytes.length;
    });
  }

  #write(bytes: Buffer): void {
    this.#bytes += bytes.length;
    this.#options.write(bytes, () => {
      this.#bytes -= bytes.length;
      bytes.fill(0);
    });
  }
}

/** What a reader of the file must know is not there before this segment. */
function missing(s: Segment): string {
  const said: string[] = [];
  if (s.leftOut > 0) said.push(`${s.leftOut} bytes of this direction before it were left out by the capture window`);
  if (s.lostSegments > 0)
    said.push(`${s.lostSegments} segments (${s.lostBytes} bytes) before it were lost: the ring was full`);
  return said.join('; ');
}
