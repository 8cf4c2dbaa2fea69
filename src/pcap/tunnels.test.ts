import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { type Read, readAll } from '../../test/fixtures/pcap/read.ts';
import { ACK, ipBytes, PcapWriter, type TcpPacket } from '../../test/fixtures/pcap/write.ts';

const T0 = 1_795_363_445_123_456_789n;
const request = (over: Partial<TcpPacket> = {}): TcpPacket => ({
  src: '192.0.2.1',
  dst: '198.51.100.2',
  sport: 40_000,
  dport: 80,
  seq: 1,
  ack: 7,
  flags: ACK,
  payload: 'GET / HTTP/1.1\r\n\r\n',
  ts: T0,
  ...over,
});

async function read(writer: PcapWriter): Promise<Read> {
  const dir = mkdtempSync(join(tmpdir(), 'headwater-tunnels-'));
  try {
    const path = join(dir, 'tunnels.pcap');
    writeFileSync(path, writer.bytes());
    return await readAll(path, {});
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

it('names tunnels, which may carry calls', async () => {
  const writer = new PcapWriter({ link: 'raw' });
  const six = ipBytes(request({ src: '2001:db8::1', dst: '2001:db8::2' }));
  const four = ipBytes(request());
  const as = (packet: Buffer, at: number, protocol: number): Buffer => {
    const other = Buffer.from(packet);
    other[at] = protocol;
    return other;
  };
  for (const protocol of [4, 41, 47, 50]) writer.raw(as(four, 9, protocol), T0);
  writer.raw(as(six, 6, 47), T0);
  const udp = (port: number, header: string): Buffer => {
    const packet = as(four, 9, 17);
    packet.writeUInt16BE(port, 22);
    Buffer.from(header, 'hex').copy(packet, 28);
    return packet;
  };
  writer.raw(udp(4789, '0800000000000100'), T0).raw(udp(6081, '0000655800000100'), T0);
  // With a group; the generic extension; a phone's packet; WireGuard's data.
  writer.raw(udp(4789, '8800002a00000100'), T0).raw(udp(4790, '0c00000300000100'), T0);
  writer.raw(udp(2152, '30ff003400000007'), T0).raw(udp(51_820, '0400000012345678'), T0);
  writer.raw(udp(4789, '5e00000000000101'), T0).raw(udp(53, '0800000000000100'), T0);
  writer.raw(udp(2152, '300100340000000700'), T0).raw(udp(51_820, '0100000012345678'), T0);
  const { result, losses } = await read(writer);
  expect(result).toMatchObject({
    packets: 15,
    undecodable: [
      { what: 'IP in IP', count: 1 },
      { what: 'IPv6 in IP', count: 1 },
      { what: 'GRE', count: 2 },
      { what: 'ESP (encrypted)', count: 1 },
      { what: 'VXLAN', count: 3 },
      { what: 'Geneve', count: 1 },
      { what: 'GTP', count: 1 },
      { what: 'WireGuard (encrypted)', count: 1 },
    ],
  });
  expect(losses.totals()).toEqual([{ reason: 'undecodable_packet', count: 11, bytes: 10 * four.length + six.length }]);
});

it('names what carries packets on a link, and reads SNAP', async () => {
  const writer = new PcapWriter();
  const ip = ipBytes(request());
  const typed = (type: string): Buffer => Buffer.concat([Buffer.alloc(12), Buffer.from(type, 'hex'), ip]);
  for (const type of ['8847', '8864', '88e5', '88e7', '894f', '810000058847']) writer.raw(typed(type), T0);
  // Their type is the frame's length: SNAP, the same in a VLAN, spanning tree, another organisation's SNAP.
  for (const llc of ['0050aaaa030000000800', '810000050050aaaa030000000800']) writer.raw(typed(llc), T0);
  for (const llc of ['0026424203000002', '0050aaaa0300000c2000']) writer.raw(typed(llc), T0);
  const { result, seen, losses } = await read(writer);
  expect(result).toMatchObject({
    packets: 10,
    undecodable: [
      { what: 'MPLS', count: 2 },
      { what: 'PPPoE', count: 1 },
      { what: 'MACsec (encrypted)', count: 1 },
      { what: 'a backbone bridge (802.1ah)', count: 1 },
      { what: 'NSH', count: 1 },
    ],
  });
  expect(seen.map((s) => s.payload)).toEqual(['GET / HTTP/1.1\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n']);
  expect(losses.totals().map(({ reason, count }) => [reason, count])).toEqual([['undecodable_packet', 6]]);
});
