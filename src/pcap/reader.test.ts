import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Read, readAll } from '../../test/fixtures/pcap/read.ts';
import {
  ACK,
  frame,
  ipBytes,
  LINK_TYPES,
  type LinkName,
  PcapWriter,
  SYN,
  type TcpPacket,
  type WriterOptions,
} from '../../test/fixtures/pcap/write.ts';
import type { ClockAnchor } from '../base/clock.ts';
import type { CaptureOptions } from './reader.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'headwater-pcap-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What is read of a file with these bytes, or at this path. */
function read(bytes: Buffer | string, options: CaptureOptions = {}): Promise<Read> {
  const path = typeof bytes === 'string' ? bytes : join(dir, `${Math.random()}.pcap`);
  if (typeof bytes !== 'string') writeFileSync(path, bytes);
  return readAll(path, options);
}

const T0 = 1_795_363_445_123_456_789n;
const FOUR = { src: '192.0.2.1', dst: '198.51.100.2' };
const SIX = { src: '2001:db8::1', dst: '2001:db8::2' };
const request = (over: Partial<TcpPacket> = {}): TcpPacket => ({
  ...FOUR,
  sport: 40_000,
  dport: 80,
  seq: 0xffff_fff0,
  ack: 7,
  flags: ACK,
  payload: 'GET / HTTP/1.1\r\n\r\n',
  ts: T0,
  ...over,
});
const response = (over: Partial<TcpPacket> = {}): TcpPacket => ({
  src: FOUR.dst,
  dst: FOUR.src,
  sport: 80,
  dport: 40_000,
  seq: 7,
  ack: 2,
  payload: 'HTTP/1.1 204 No Content\r\n\r\n',
  ts: T0 + 1_500_000n,
  ...over,
});

const FORMATS: WriterOptions[] = [];
for (const link of Object.keys(LINK_TYPES) as LinkName[]) {
  for (const little of [true, false]) {
    FORMATS.push({ link, little }, { link, little, nanoseconds: true });
    FORMATS.push({ link, little, format: 'pcapng' }, { link, little, format: 'pcapng', nanoseconds: true });
    FORMATS.push({ link, little, format: 'pcapng', block: 'simple' }, { link, little, format: 'pcapng', block: 'old' });
  }
}

describe('readCapture', () => {
  it.each(FORMATS.map((f) => [JSON.stringify(f), f] as const))('reads %s', async (_, options) => {
    for (const family of options.link === 'ipv6' ? [SIX] : options.link === 'ipv4' ? [FOUR] : [FOUR, SIX]) {
      const writer = new PcapWriter(options);
      writer.packet(request(family)).packet(response({ src: family.dst, dst: family.src }));
      const { result, seen, losses } = await read(writer.bytes());
      expect(result).toMatchObject({ ok: true, packets: 2, cut: null, undecodable: [] });
      expect(losses.totals()).toEqual([]);
      expect(seen.map((s) => s.payload)).toEqual(['GET / HTTP/1.1\r\n\r\n', 'HTTP/1.1 204 No Content\r\n\r\n']);
      expect(seen[0]).toMatchObject({ sport: 40_000, dport: 80, seq: 0xffff_fff0, ack: 7, flags: ACK, length: 18 });
      expect(seen[1]).toMatchObject({ sport: 80, dport: 40_000, seq: 7, ack: 2, length: 27 });
      expect(seen[0]?.src).toBe(seen[1]?.dst);
      expect(seen[0]?.dst).toBe(
        family === FOUR ? '00000000000000000000ffffc6336402' : '20010db8000000000000000000000002',
      );
      const digits = options.nanoseconds === true ? '123456789' : '123456000';
      const second = options.nanoseconds === true ? '124956789' : '124956000';
      const simple = options.block === 'simple';
      expect(seen.map((s) => s.at)).toEqual(
        simple ? [null, null] : [`2026-11-22T16:04:05.${digits}Z`, `2026-11-22T16:04:05.${second}Z`],
      );
    }
  });

  it.each([
    [0, '2026-11-22T16:04:05.000000000Z'],
    [3, '2026-11-22T16:04:05.123000000Z'],
    [10, '2026-11-22T16:04:05.123456789Z'],
    [0x80 | 10, '2026-11-22T16:04:05.123046875Z'],
    [0x80 | 32, '2026-11-22T16:04:05.123456788Z'],
  ])('reads times of resolution %i', async (tsresol, expected) => {
    const writer = new PcapWriter({ format: 'pcapng', tsresol, tsoffset: 1_700_000_000n });
    const { seen } = await read(writer.packet(request()).bytes());
    expect(seen[0]?.at).toBe(expected);
  });

  it.each([-(2n ** 63n), -2_000_000_000n, 253_402_300_800n, 2n ** 63n - 1n])(
    'has no time where an interface puts it beyond the years that there are (%i s)',
    async (tsoffset) => {
      const late = request({ ts: tsoffset * 1_000_000_000n });
      const writer = new PcapWriter({ format: 'pcapng', tsoffset }).packet(late).packet(late);
      const { result, seen } = await read(writer.bytes());
      expect(result).toMatchObject({ ok: true, packets: 2 });
      expect(seen.map(({ at }) => at)).toEqual([null, null]);
    },
  );

  it('keeps nanoseconds exact for a month, and goes back as far', async () => {
    const writer = new PcapWriter({ nanoseconds: true });
    const times = [0n, 30n * 86_400_000_000_001n, -30n * 86_399_999_999_999n, -31n * 86_400_000_000_000n];
    for (const d of times) writer.packet(request({ ts: T0 + d }));
    const { seen } = await read(writer.bytes());
    expect(seen.map((s) => s.at)).toEqual(
      times.map((d, i) => {
        if (i === 3) return null;
        const t = T0 + d;
        return `${new Date(Number(t / 1_000_000n)).toISOString().slice(0, 20)}${String(t % 1_000_000_000n).padStart(9, '0')}Z`;
      }),
    );
  });

  it('keeps the anchor of an earlier file', async () => {
    const anchor = { wallNs: T0 - 5n };
    const calls: ClockAnchor[] = [];
    const bytes = new PcapWriter({ nanoseconds: true }).packet(request()).bytes();
    const { result, seen } = await read(bytes, { anchor, onAnchor: (a) => calls.push(a) });
    expect(result).toMatchObject({ anchor });
    expect(calls).toEqual([]);
    expect(seen[0]?.at).toBe('2026-11-22T16:04:05.123456789Z');
  });

  it('skips IP and TCP options and IPv6 extension headers', async () => {
    const writer = new PcapWriter({ link: 'raw' });
    const hop = Buffer.from([0, 0, 1, 4, 0, 0, 0, 0]);
    const routing = Buffer.concat([Buffer.from([0, 2]), Buffer.alloc(22)]);
    const atomic = Buffer.alloc(8);
    const authentication = Buffer.concat([Buffer.from([0, 4]), Buffer.alloc(22)]);
    writer.packet(request({ ipOptions: Buffer.alloc(8, 1), tcpOptions: Buffer.alloc(12, 1) }));
    writer.packet(
      request({
        ...SIX,
        extensions: [
          [0, hop],
          [43, routing],
          [44, atomic],
          [51, authentication],
          [60, hop],
        ],
      }),
    );
    const { seen, losses } = await read(writer.bytes());
    expect(seen.map((s) => s.payload)).toEqual(['GET / HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n']);
    expect(losses.totals()).toEqual([]);
  });

  it('counts fragments', async () => {
    const writer = new PcapWriter({ link: 'raw' });
    writer.packet(request({ fragment: 0x2000 })).packet(request({ fragment: 0x0010 }));
    writer.packet(request({ ...SIX, extensions: [[44, Buffer.from([0, 0, 0, 1, 0, 0, 0, 1])]] }));
    const { seen, losses } = await read(writer.bytes());
    expect(seen).toEqual([]);
    expect(losses.totals()).toEqual([{ reason: 'ip_fragment', count: 3, bytes: 3 * 38 }]);
  });

  it('tells captured from sent bytes', async () => {
    const writer = new PcapWriter({ link: 'raw' });
    writer
      .packet(request({ snaplen: 45 }))
      .packet(request({ snaplen: 30 }))
      .packet(request({ snaplen: 10 }));
    const { seen, losses } = await read(writer.bytes());
    expect(seen.map((s) => [s.payload, s.length])).toEqual([['GET /', 18]]);
    expect(losses.totals()).toEqual([{ reason: 'snaplen', count: 2, bytes: 38 + 58 }]);
  });

  it('leaves what is not TCP alone', async () => {
    const writer = new PcapWriter();
    const arp = Buffer.concat([Buffer.alloc(12), Buffer.from('0806', 'hex'), Buffer.alloc(46)]);
    const udp = ipBytes(request());
    udp[9] = 17;
    writer
      .raw(arp, T0)
      .raw(frame('ethernet', udp), T0)
      .packet(request({ flags: SYN }));
    const { result, seen, losses } = await read(writer.bytes());
    expect(result).toMatchObject({ packets: 3, undecodable: [] });
    expect(seen).toHaveLength(1);
    expect(losses.totals()).toEqual([]);
  });

  it('counts QUIC from its handshake on, in both directions, and no other UDP', async () => {
    const writer = new PcapWriter({ link: 'raw' });
    /** A packet of the same length as a request's, as UDP from or to a port. */
    const datagram = (ip: Buffer, payload: string, { server = 443, back = false } = {}): Buffer => {
      const packet = Buffer.from(ip);
      const six = packet[0]! >> 4 === 6;
      packet[six ? 6 : 9] = 17;
      const [addresses, size, udp] = six ? [8, 16, 40] : [12, 4, 20];
      if (back) {
        const source = Buffer.from(packet.subarray(addresses, addresses + size));
        packet.copyWithin(addresses, addresses + size, addresses + 2 * size);
        source.copy(packet, addresses + size);
      }
      packet.writeUInt16BE(back ? server : 50_000, udp);
      packet.writeUInt16BE(back ? 50_000 : server, udp + 2);
      packet.writeUInt16BE(packet.length - udp, udp + 4);
      Buffer.from(payload, 'hex').copy(packet, udp + 8);
      return packet;
    };
    const four = ipBytes(request());
    const six = ipBytes(request(SIX));
    for (const [ip, version] of [
      [four, '00000001'],
      [six, '6b3343cf'],
    ] as const) {
      writer.raw(datagram(ip, '40aabbccdd'), T0);
      writer.raw(datagram(ip, `c3${version}`), T0).raw(datagram(ip, `c3${version}`, { back: true }), T0);
      writer.raw(datagram(ip, '40aabbccdd'), T0).raw(datagram(ip, '4000000000', { back: true }), T0);
      writer.raw(datagram(ip, 'c31a2a3a4a', { server: 53 }), T0).raw(datagram(ip, '4000000000', { server: 53 }), T0);
    }
    const { result, losses } = await read(writer.bytes());
    expect(result).toMatchObject({ ok: true, packets: 14, undecodable: [] });
    expect(losses.totals()).toEqual([
      { reason: 'quic_unread', count: 8, bytes: 4 * (four.length - 28) + 4 * (six.length - 48) },
    ]);
  });

  it('names link types it does not know', async () => {
    const writer = new PcapWriter({ linkType: 127 }).packet(request()).packet(request());
    const { result, losses } = await read(writer.bytes());
    expect(result).toMatchObject({
      ok: true,
      undecodable: [{ what: 'link type 127 (IEEE 802.11 radiotap)', count: 2 }],
    });
    expect(losses.totals()).toEqual([{ reason: 'undecodable_packet', count: 2, bytes: 2 * 72 }]);
  });

  it('reads sections of both byte orders, several interfaces, secrets and unknown blocks', async () => {
    const first = new PcapWriter({ format: 'pcapng', link: 'raw' });
    first.block(0x0bad, Buffer.alloc(3_000_000)).secrets('CLIENT_RANDOM aa bb\n').packet(request());
    const second = new PcapWriter({ format: 'pcapng', link: 'sll2', little: false, nanoseconds: true });
    second.secrets('x').packet(response());
    const { result, seen, secrets, losses } = await read(Buffer.concat([first.bytes(), second.bytes()]));
    expect(result).toMatchObject({ ok: true, packets: 2, cut: null });
    expect(seen.map((s) => s.at)).toEqual(['2026-11-22T16:04:05.123456000Z', '2026-11-22T16:04:05.124956789Z']);
    expect(secrets).toEqual(['1414288203:CLIENT_RANDOM aa bb\n', '1414288203:x']);
    expect(losses.totals()).toEqual([]);
  });

  it('counts packets of interfaces that the file does not describe', async () => {
    const writer = new PcapWriter({ format: 'pcapng' }).section().packet(request());
    const { result, losses } = await read(writer.bytes());
    expect(result).toMatchObject({ undecodable: [{ what: 'an interface that the file does not describe', count: 1 }] });
    expect(losses.totals()).toMatchObject([{ reason: 'undecodable_packet', count: 1 }]);
  });

  it('unpacks gzip (also in members) and zstd (also in frames), and reads standard input', async () => {
    const bytes = new PcapWriter().packet(request()).packet(response()).bytes();
    for (const pack of [gzipSync, zstdCompressSync]) {
      const parts = Buffer.concat([pack(bytes.subarray(0, 50)), pack(bytes.subarray(50))]);
      for (const packed of [pack(bytes), parts]) {
        expect((await read(packed)).seen).toHaveLength(2);
        const stdin = Readable.from([packed.subarray(0, 2), packed.subarray(2, 3), packed.subarray(3)]);
        expect((await read('-', { stdin })).seen).toHaveLength(2);
      }
    }
    expect((await read('-', { stdin: Readable.from([bytes]) })).result).toMatchObject({ ok: true, packets: 2 });
  });

  it('gives the same segments whatever pieces the input comes in', async () => {
    for (const format of ['pcap', 'pcapng'] as const) {
      const bytes = new PcapWriter({ format }).secrets?.('x').packet(request()).packet(response()).bytes();
      const whole = format === 'pcap' ? new PcapWriter().packet(request()).packet(response()).bytes() : bytes;
      const expected = await read(whole);
      expect(expected.seen).toHaveLength(2);
      for (let size = 1; size < 40; size++) {
        const pieces: Buffer[] = [];
        for (let i = 0; i < whole.length; i += size) pieces.push(whole.subarray(i, i + size));
        const { seen, result } = await read('-', { stdin: Readable.from(pieces) });
        expect(seen).toEqual(expected.seen);
        expect(result).toEqual(expected.result);
      }
    }
  });

  it('says what is wrong with what it cannot read', async () => {
    const bytes = new PcapWriter().packet(request()).bytes();
    const ng = new PcapWriter({ format: 'pcapng' }).bytes();
    const problem = async (b: Buffer | string): Promise<unknown> => (await read(b)).result;
    const wrong = (p: string): object => ({ ok: false, problem: p });
    expect(await problem(Buffer.alloc(0))).toMatchObject(wrong('empty'));
    for (const n of [1, 3, 4, 12, 23]) expect(await problem(bytes.subarray(0, n))).toMatchObject(wrong('short_header'));
    for (const n of [4, 11, 12, 27]) expect(await problem(ng.subarray(0, n))).toMatchObject(wrong('short_header'));
    expect(await problem(dir)).toEqual({
      ...wrong('folder'),
      message: expect.stringContaining(`${dir}: it is a folder`),
    });
    expect(await problem(join(dir, 'none'))).toEqual({
      ...wrong('unreadable'),
      message: `cannot read ${join(dir, 'none')}: there is no such file`,
    });
    expect(await problem(Buffer.from('GET / HTTP/1.1\r\n'))).toEqual({
      ...wrong('unknown_format'),
      message: expect.stringContaining('neither pcap nor pcapng (it begins with 47455420)'),
    });
    const old = Buffer.from(bytes);
    old.writeUInt16LE(1, 4);
    expect(await problem(old)).toMatchObject(wrong('unknown_format'));
    expect(await problem(gzipSync(''))).toMatchObject(wrong('empty'));
    expect(await problem(gzipSync(bytes.subarray(0, 10)))).toMatchObject(wrong('short_header'));
    expect(await problem(Buffer.from('1f8b0800ffffffff', 'hex'))).toMatchObject({ ok: false });
    const ordered = Buffer.from(ng);
    ordered.fill(0, 8, 12);
    expect(await problem(ordered)).toMatchObject(wrong('unknown_format'));
  });

  it('keeps what comes before a cut', async () => {
    for (const format of ['pcap', 'pcapng'] as const) {
      const one = new PcapWriter({ format }).packet(request()).bytes();
      const two = new PcapWriter({ format }).packet(request()).packet(response()).bytes();
      for (let n = one.length + 1; n < two.length; n++) {
        const { result, seen, losses } = await read(two.subarray(0, n));
        expect(result).toMatchObject({ ok: true, packets: 1, cut: 'its last packet is cut short' });
        expect(seen).toHaveLength(1);
        expect(losses.totals()).toMatchObject([{ reason: 'file_truncated', count: 1 }]);
      }
    }
    const bytes = new PcapWriter().packet(request()).packet(response()).bytes();
    for (const packed of [gzipSync(bytes), zstdCompressSync(bytes)]) {
      const { result, losses } = await read(packed.subarray(0, packed.length - 6));
      if (result.ok) expect(losses.totals()).toMatchObject([{ reason: 'file_truncated', count: 1 }]);
      else expect(result.problem).toBe('unreadable');
    }
  });

  it('stops where a file contradicts itself, and says so', async () => {
    const bytes = new PcapWriter().packet(request()).packet(request()).bytes();
    const at = 24 + 16 + 72;
    bytes.writeUInt32LE(0xffff_ffff, at + 8);
    const { result, losses } = await read(bytes);
    expect(result).toMatchObject({ ok: true, packets: 1, cut: expect.stringContaining('packet 2 claims 4294967295') });
    expect(losses.totals()).toMatchObject([{ reason: 'file_truncated', count: 1 }]);
    const ng = new PcapWriter({ format: 'pcapng' }).packet(request()).packet(request()).bytes();
    ng.writeUInt32LE(7, ng.length - 4);
    expect((await read(ng)).result).toMatchObject({
      ok: true,
      packets: 1,
      cut: expect.stringContaining('two different lengths'),
    });
  });

  it.skipIf(process.getuid?.() === 0)('says that a file may not be read', async () => {
    const path = join(dir, 'secret.pcap');
    writeFileSync(path, '');
    chmodSync(path, 0);
    expect((await read(path)).result).toMatchObject({ problem: 'unreadable' });
  });

  it('writes files that tcpdump reads', () => {
    const path = join(dir, 'check.pcap');
    writeFileSync(path, new PcapWriter({ link: 'sll2' }).packet(request()).bytes());
    const text = execFileSync('tcpdump', ['-nr', path], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    expect(text).toContain('192.0.2.1.40000 > 198.51.100.2.80');
  });
});
