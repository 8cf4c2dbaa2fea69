/**
 * A segment as a packet again. The kernel hands over what matters of a segment and not its headers as they were, so the IP and
 * TCP headers are made: addresses, ports, sequence and acknowledgement numbers, flags and lengths are the segment's own;
 * options, window, time to live and checksums are not known. Pure.
 */
import type { Memory } from '../../base/memory.ts';
import { EGRESS, type Segment, TCP_FIN, TCP_SYN } from '../../model/segment.ts';
import { enclosePacket, PACKET_AT, packetBlockBytes } from './blocks.ts';

const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
const TCP_BYTES = 20;
/** IPv4's length field has 16 bits; a segment that the network card was to cut may be longer, and becomes several packets. */
const PAYLOAD_MAX = 65_535 - IPV4_BYTES - TCP_BYTES;
const TTL = 64;
const PROTOCOL_TCP = 6;
const DO_NOT_FRAGMENT = 0x4000;
/** A window that is not known: the largest. */
const WINDOW = 0xffff;

/** How many packets a segment becomes. */
export const packetsOf = (s: Segment): number => Math.max(1, Math.ceil(s.length / PAYLOAD_MAX));

/** Room that a segment's blocks need, at most. */
export const roomFor = (s: Segment, comment: string): number =>
  s.captured + packetsOf(s) * packetBlockBytes(IPV6_BYTES + TCP_BYTES, comment);

/**
 * Writes a segment's packets as blocks at `out[at]`, which has `roomFor` them; returns their length. `atNs`: Unix time. `comment`
 * goes to the first.
 */
export function writePackets(out: Buffer, at: number, s: Segment, atNs: bigint, comment: string): number {
  const outbound = s.direction === EGRESS;
  const syn = s.flags & TCP_SYN ? 1 : 0;
  let end = at;
  for (let from = 0; from === 0 || from < s.length; from += PAYLOAD_MAX) {
    const payload = Math.min(PAYLOAD_MAX, s.length - from);
    const captured = Math.max(0, Math.min(payload, s.captured - from));
    const last = from + payload >= s.length;
    const flags = s.flags & ~(from > 0 ? TCP_SYN : 0) & ~(last ? 0 : TCP_FIN);
    const seq = s.seq + from + (from > 0 ? syn : 0);
    const headers = writeHeaders(out, end + PACKET_AT, s, outbound, seq, flags, payload);
    const data = end + PACKET_AT + headers;
    s.memory.buf.copy(out, data, s.offset + from, s.offset + from + captured);
    end += enclosePacket(out, end, atNs, headers + captured, headers + payload, outbound, from === 0 ? comment : '');
  }
  return end - at;
}

/** IPv4 as ::ffff:a.b.c.d (RFC 4291 2.5.5.2). */
const isMapped = ({ view }: Memory, at: number): boolean =>
  view.getUint32(at) === 0 && view.getUint32(at + 4) === 0 && view.getUint32(at + 8) === 0xffff;

function writeHeaders(
  out: Buffer,
  at: number,
  s: Segment,
  outbound: boolean,
  seq: number,
  flags: number,
  payload: number,
): number {
  const { addresses } = s;
  const local = s.addressesAt;
  const remote = local + 16;
  const [source, destination] = outbound ? [local, remote] : [remote, local];
  const four = isMapped(addresses, local) && isMapped(addresses, remote);
  const ip = four ? IPV4_BYTES : IPV6_BYTES;
  out.fill(0, at, at + ip + TCP_BYTES);
  if (four) {
    out[at] = 0x45;
    out.writeUInt16BE(IPV4_BYTES + TCP_BYTES + payload, at + 2);
    out.writeUInt16BE(DO_NOT_FRAGMENT, at + 6);
    out[at + 8] = TTL;
    out[at + 9] = PROTOCOL_TCP;
    addresses.buf.copy(out, at + 12, source + 12, source + 16);
    addresses.buf.copy(out, at + 16, destination + 12, destination + 16);
    out.writeUInt16BE(checksum(out, at, at + IPV4_BYTES), at + 10);
  } else {
    out[at] = 0x60;
    out.writeUInt16BE(TCP_BYTES + payload, at + 4);
    out[at + 6] = PROTOCOL_TCP;
    out[at + 7] = TTL;
    addresses.buf.copy(out, at + 8, source, source + 16);
    addresses.buf.copy(out, at + 24, destination, destination + 16);
  }
  const tcp = at + ip;
  out.writeUInt16BE(outbound ? s.localPort : s.remotePort, tcp);
  out.writeUInt16BE(outbound ? s.remotePort : s.localPort, tcp + 2);
  out.writeUInt32BE(seq >>> 0, tcp + 4);
  out.writeUInt32BE(s.ack >>> 0, tcp + 8);
  out[tcp + 12] = (TCP_BYTES / 4) << 4;
  out[tcp + 13] = flags & 0xff;
  out.writeUInt16BE(WINDOW, tcp + 14);
  return ip + TCP_BYTES;
}

/** The Internet checksum (RFC 1071) of an even number of bytes. */
function checksum(bytes: Buffer, from: number, to: number): number {
  let sum = 0;
  for (let at = from; at < to; at += 2) sum += bytes.readUInt16BE(at);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}
