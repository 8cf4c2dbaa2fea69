/** Mutated capture files: no throw, nothing read outside the file, bounded memory. Seeded; HEADWATER_FUZZ sets how many. */
import { Readable } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { LossLedger } from '../../src/model/loss.ts';
import type { Segment } from '../../src/model/segment.ts';
import type { CaptureSink } from '../../src/model/stages.ts';
import type { FormatParser } from '../../src/pcap/format.ts';
import { PacketDecoder } from '../../src/pcap/packet.ts';
import { PcapParser } from '../../src/pcap/pcap.ts';
import { PcapngParser } from '../../src/pcap/pcapng.ts';
import { readCapture } from '../../src/pcap/reader.ts';
import { Timeline } from '../../src/pcap/timeline.ts';
import { FILE_LIMITS } from '../../src/tcp/context.ts';
import { ConnectionTracker } from '../../src/tcp/tracker.ts';
import {
  ACK,
  FIN,
  LINK_TYPES,
  type LinkName,
  PcapWriter,
  RST,
  SYN,
  type TcpPacket,
  type WriterOptions,
} from '../fixtures/pcap/write.ts';
import { mutate, Random } from './random.ts';

const RUNS = Number(process.env['HEADWATER_FUZZ'] ?? 200_000);
const NEED_MAX = 6 * 1024 * 1024;

const FOUR = ['192.0.2.1', '192.0.2.2'] as const;
const SIX = ['2001:db8::1', '2001:db8::2'] as const;

function sample(options: WriterOptions): Buffer {
  const writer = new PcapWriter(options);
  if (options.format === 'pcapng') writer.secrets('CLIENT_RANDOM 00 11\n').block(0x0bad, Buffer.alloc(8));
  const [a, b] = options.link === 'ipv6' ? SIX : FOUR;
  const base = { ts: 1_795_363_445_000_000_000n, tcpOptions: Buffer.alloc(12, 1) };
  const out = { ...base, src: a, dst: b, sport: 40_000, dport: 80 };
  const back = { ...base, src: b, dst: a, sport: 80, dport: 40_000 };
  const packets: TcpPacket[] = [
    { ...out, seq: 99, flags: SYN },
    { ...back, seq: 499, ack: 100, flags: SYN | ACK },
    { ...out, seq: 100, ack: 500, payload: 'GET / HTTP/1.1\r\nHost: a\r\n\r\n' },
    { ...back, seq: 500, ack: 127, payload: 'HTTP/1.1 200 OK\r\n\r\n', snaplen: 70 },
    { ...out, seq: 127, ack: 519, flags: FIN | ACK },
    { ...back, seq: 519, flags: RST },
  ];
  if (options.link === 'raw') {
    packets.push({
      ...out,
      src: SIX[0],
      dst: SIX[1],
      seq: 1,
      payload: 'x',
      extensions: [
        [0, Buffer.alloc(8)],
        [60, Buffer.alloc(8)],
      ],
    });
  }
  for (const p of packets) writer.packet(p);
  return writer.bytes();
}

const SAMPLES = (Object.keys(LINK_TYPES) as LinkName[]).flatMap((link) =>
  [true, false].flatMap((little) => [
    sample({ link, little }),
    sample({ link, little, format: 'pcapng', tsresol: 9, tsoffset: 5n }),
    sample({ link, little, format: 'pcapng', block: 'simple' }),
    sample({ link, little, format: 'pcapng', block: 'old' }),
  ]),
);

/** A tracker behind a check that every segment lies within its memory. */
function checked(losses: LossLedger): { sink: CaptureSink; tracker: ConnectionTracker } {
  const nothing = { data: () => {}, gap: () => {}, end: () => {} };
  const tracker = new ConnectionTracker({
    offline: true,
    losses,
    limits: { ...FILE_LIMITS, historyBytes: 65_536 },
    decoder: () => ({ streams: [nothing, nothing], tick: () => {} }),
  });
  const segment = (s: Segment): void => {
    const inside = s.captured === 0 || (s.offset >= 0 && s.offset + s.captured <= s.memory.size);
    const sane = s.captured >= 0 && s.captured <= s.length && s.length <= 4 * 1024 * 1024 && Number.isFinite(s.ts);
    if (!inside || !sane) throw new Error(`segment outside: ${s.offset} ${s.captured} ${s.length} ${s.ts}`);
    tracker.segment(s);
  };
  return { sink: { segment, socket: () => {} }, tracker };
}

/** The whole file in one piece or two; returns how far the parser got. */
function parse(bytes: Buffer, pcapng: boolean, cut: number): FormatParser {
  const losses = new LossLedger();
  const { sink, tracker } = checked(losses);
  const timeline = new Timeline(null, () => {});
  const packets = new PacketDecoder(sink, losses);
  const parser = pcapng
    ? new PcapngParser(timeline, {
        packet: packets.packet.bind(packets),
        unusable: packets.unusable.bind(packets),
        secrets: (_type, memory, offset, length) => {
          if (length < 0 || offset + length > memory.size) throw new Error('secrets outside');
        },
      })
    : new PcapParser(timeline, packets);
  const memory = Memory.from(bytes);
  const at = parser.parse(memory, 0, cut);
  if (at <= cut && parser.damage === null) parser.parse(memory, at, bytes.length);
  tracker.finish();
  if (tracker.held !== 0) throw new Error('memory is still held');
  return parser;
}

describe('mutated capture files', () => {
  it(`does not throw in ${RUNS} of them`, { timeout: 240_000 * Math.max(1, RUNS / 200_000) }, () => {
    const random = new Random(20_261_122);
    let read = 0;
    for (let run = 0; run < RUNS; run++) {
      const original = SAMPLES[random.below(SAMPLES.length)]!;
      const bytes = mutate(original, random);
      const parser = parse(bytes, original.readUInt32BE(0) === 0x0a0d0d0a, random.below(bytes.length + 1));
      if (parser.need > NEED_MAX) throw new Error(`run ${run} wants ${parser.need} bytes`);
      if (parser.damage === null) read++;
    }
    // Mutations that only break things would not reach far.
    expect(read).toBeGreaterThan(RUNS / 3);
  });

  it('always comes to a result, whatever is packed how', async () => {
    const random = new Random(7);
    for (let run = 0; run < 1500; run++) {
      const original = SAMPLES[random.below(SAMPLES.length)]!;
      const inner = mutate(original, random);
      const pack = [gzipSync, zstdCompressSync, (b: Buffer) => b][random.below(3)]!;
      const bytes = random.below(2) === 0 ? pack(inner) : mutate(pack(inner), random);
      const losses = new LossLedger();
      const { sink, tracker } = checked(losses);
      const result = await readCapture('-', sink, losses, { stdin: Readable.from([bytes]) });
      tracker.finish();
      expect(result.ok || result.message.startsWith('cannot read standard input: ')).toBe(true);
    }
  });
});
