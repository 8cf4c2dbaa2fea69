/**
 * A captured packet's way down to its TCP segment: link header, IPv4 (RFC 791) or IPv6 (RFC 8200), TCP (RFC 9293). Nothing
 * is copied, no checksum is verified (offloading leaves them unset in captures of the sending host).
 */
import { Memory } from '../base/memory.ts';
import type { LossSink } from '../model/loss.ts';
import { EGRESS, INGRESS, Segment } from '../model/segment.ts';
import type { CaptureSink } from '../model/stages.ts';
import { PACKET_BYTES_MAX, type PacketSink } from './format.ts';
import { CLIPPED, linkName, linkPayload, NOT_IP, TUNNEL, UNKNOWN_LINK } from './link.ts';
import { QuicDatagrams } from './quic.ts';
import { ipTunnel, linkTunnel, UDP_TUNNEL_BYTES, udpTunnel } from './tunnels.ts';

const PROTOCOL_TCP = 6;
const PROTOCOL_UDP = 17;
const UDP_HEADER = 8;
const IPV4_HEADER_MIN = 20;
const IPV6_HEADER = 40;
const TCP_HEADER_MIN = 20;
/** Up to the flags: without them a segment cannot be placed. */
const TCP_HEADER_NEEDED = 14;
/** Extension headers are read up to here; senders use one or two. */
const EXTENSIONS_MAX = 16;
/** Different things that are named; what else cannot be decoded is only counted. */
const NAMES_MAX = 64;

/** Something in a capture that could not be decoded, and in how many packets. */
export interface Undecodable {
  readonly what: string;
  count: number;
}

export class PacketDecoder implements PacketSink {
  /** Packets of every kind. */
  packets = 0;
  readonly undecodable: Undecodable[] = [];

  readonly #sink: CaptureSink;
  readonly #losses: LossSink;
  readonly #segment = new Segment();
  readonly #datagrams = new QuicDatagrams();
  readonly #addresses = Memory.alloc(32);
  #mapped = false;

  constructor(sink: CaptureSink, losses: LossSink) {
    this.#sink = sink;
    this.#losses = losses;
    this.#segment.addresses = this.#addresses;
  }

  packet(linkType: number, memory: Memory, offset: number, captured: number, length: number, ts: number): void {
    this.packets++;
    const link = linkPayload(linkType, memory, offset, captured);
    switch (link) {
      case NOT_IP:
        return;
      case CLIPPED:
        this.#losses.lose('snaplen', 1, length);
        return;
      case UNKNOWN_LINK:
        this.unusable(linkName(linkType), length);
        return;
      default: {
        if (link <= TUNNEL) {
          this.unusable(linkTunnel(TUNNEL - link)!, length);
          return;
        }
        // Bytes that the link header took.
        const end = offset + captured;
        const at = offset + link;
        const version = at < end ? memory.buf[at]! >>> 4 : 0;
        if (at >= end) this.#losses.lose('snaplen', 1, length);
        else if (version === 4) this.#ipv4(memory, at, end, length - link, ts);
        else if (version === 6) this.#ipv6(memory, at, end, length - link, ts);
        else this.unusable('an IP version that does not exist', length);
      }
    }
  }

  /** Counts a packet that cannot be decoded, by name. */
  unusable(what: string, length: number): void {
    this.#losses.lose('undecodable_packet', 1, length);
    const known = this.undecodable.find((u) => u.what === what);
    if (known !== undefined) known.count++;
    else if (this.undecodable.length < NAMES_MAX) this.undecodable.push({ what, count: 1 });
  }

  /** `end`: of the captured bytes; `length`: of the packet on the wire, from `at`. */
  #ipv4(memory: Memory, at: number, end: number, length: number, ts: number): void {
    const { view, buf } = memory;
    if (end - at < IPV4_HEADER_MIN) {
      this.#losses.lose('snaplen', 1, length);
      return;
    }
    if (buf[at + 9] !== PROTOCOL_TCP) {
      this.#notTcp(buf[at + 9]!, memory, at, at + (buf[at]! & 0x0f) * 4, end, length);
      return;
    }
    const headerLength = (buf[at]! & 0x0f) * 4;
    const stated = view.getUint16(at + 2);
    // 0: the sending host's capture of a packet that the card will cut (TSO).
    const total = stated === 0 ? Math.min(length, PACKET_BYTES_MAX) : stated;
    if (headerLength < IPV4_HEADER_MIN || headerLength > total) {
      this.unusable('an IPv4 header', length);
      return;
    }
    if ((view.getUint16(at + 6) & 0x3fff) !== 0) {
      this.#losses.lose('ip_fragment', 1, total - headerLength);
      return;
    }
    const to = this.#addresses.view;
    if (!this.#mapped) {
      this.#addresses.buf.fill(0);
      to.setUint16(10, 0xffff);
      to.setUint16(26, 0xffff);
      this.#mapped = true;
    }
    const source = view.getUint32(at + 12);
    const destination = view.getUint32(at + 16);
    const tcp = at + headerLength;
    if (end - tcp < 4) {
      this.#losses.lose('snaplen', 1, length);
      return;
    }
    const sourcePort = view.getUint16(tcp);
    const destinationPort = view.getUint16(tcp + 2);
    const egress = source < destination || (source === destination && sourcePort <= destinationPort);
    to.setUint32(12, egress ? source : destination);
    to.setUint32(28, egress ? destination : source);
    this.#tcp(memory, tcp, end, total - headerLength, egress, ts);
  }

  #ipv6(memory: Memory, at: number, end: number, length: number, ts: number): void {
    const { view, buf } = memory;
    if (end - at < IPV6_HEADER) {
      this.#losses.lose('snaplen', 1, length);
      return;
    }
    const stated = view.getUint16(at + 4);
    // 0: a jumbogram or a packet that the card will cut.
    let left = stated === 0 ? Math.min(length - IPV6_HEADER, PACKET_BYTES_MAX) : stated;
    let next = buf[at + 6]!;
    let tcp = at + IPV6_HEADER;
    for (let i = 0; next !== PROTOCOL_TCP; i++) {
      if (!isExtension(next)) this.#notTcp(next, memory, at, tcp, end, length);
      if (!isExtension(next) || i === EXTENSIONS_MAX) return;
      if (end - tcp < 8) {
        this.#losses.lose('snaplen', 1, length);
        return;
      }
      const then = buf[tcp]!;
      if (next === 44 && (view.getUint16(tcp + 2) & 0xfff9) !== 0) {
        if (then === PROTOCOL_TCP || isExtension(then)) this.#losses.lose('ip_fragment', 1, Math.max(0, left - 8));
        return;
      }
      const size = next === 44 ? 8 : next === 51 ? (buf[tcp + 1]! + 2) * 4 : (buf[tcp + 1]! + 1) * 8;
      next = then;
      tcp += size;
      left -= size;
    }
    if (left < 0) {
      this.unusable('an IPv6 header', length);
      return;
    }
    if (end - tcp < 4) {
      this.#losses.lose('snaplen', 1, length);
      return;
    }
    this.#mapped = false;
    const sourcePort = view.getUint16(tcp);
    const destinationPort = view.getUint16(tcp + 2);
    const order = compare(memory, at + 8, at + 24);
    const egress = order < 0 || (order === 0 && sourcePort <= destinationPort);
    const to = this.#addresses.view;
    const local = at + (egress ? 8 : 24);
    const remote = at + (egress ? 24 : 8);
    for (let i = 0; i < 16; i += 4) {
      to.setInt32(i, view.getInt32(local + i));
      to.setInt32(16 + i, view.getInt32(remote + i));
    }
    this.#tcp(memory, tcp, end, left, egress, ts);
  }

  /** What another protocol's payload at `at` is, if calls may be in it; of the packet at `ip`, `length` bytes in all. */
  #notTcp(protocol: number, memory: Memory, ip: number, at: number, end: number, length: number): void {
    let name = ipTunnel(protocol);
    if (protocol === PROTOCOL_UDP && end - at >= UDP_HEADER) {
      this.#quic(memory, ip, at, end);
      const whole = end - at >= UDP_HEADER + UDP_TUNNEL_BYTES;
      if (whole) name = udpTunnel(memory.view.getUint16(at + 2), memory.view, at + UDP_HEADER);
    }
    if (name !== undefined) this.unusable(name, length);
  }

  /** Counts a datagram of QUIC, whose UDP header is at `at`. A later fragment of a datagram is part of the first. */
  #quic(memory: Memory, ip: number, at: number, end: number): void {
    const { view } = memory;
    const four = view.getUint8(ip) >> 4 === 4;
    if (four && (view.getUint16(ip + 6) & 0x1fff) !== 0) return;
    const size = four ? 4 : 16;
    const payload = at + UDP_HEADER;
    if (!this.#datagrams.has(memory, four ? ip + 12 : ip + 8, size, at, payload, end)) return;
    this.#losses.lose('quic_unread', 1, Math.max(0, view.getUint16(at + 4) - UDP_HEADER));
  }

  /**
   * `length`: TCP header and payload as the IP header says. Which end is local is not known in a file: the lower address
   * is, so that both directions of a connection agree without a table.
   */
  #tcp(memory: Memory, at: number, end: number, length: number, egress: boolean, ts: number): void {
    const { view, buf } = memory;
    if (end - at < TCP_HEADER_NEEDED) {
      this.#losses.lose('snaplen', 1, length);
      return;
    }
    const header = (buf[at + 12]! >>> 4) * 4;
    if (header < TCP_HEADER_MIN || header > length) {
      this.unusable('a TCP header', length);
      return;
    }
    const s = this.#segment;
    const source = view.getUint16(at);
    const destination = view.getUint16(at + 2);
    s.ts = ts;
    s.localPort = egress ? source : destination;
    s.remotePort = egress ? destination : source;
    s.direction = egress ? EGRESS : INGRESS;
    s.flags = buf[at + 13]! & 0x1f;
    s.seq = view.getUint32(at + 4);
    s.ack = view.getUint32(at + 8);
    s.length = length - header;
    s.memory = memory;
    s.offset = at + header;
    s.captured = Math.min(s.length, Math.max(0, end - s.offset));
    this.#sink.segment(s);
  }
}

/** Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, shim6. */
function isExtension(next: number): boolean {
  return (
    next === 0 ||
    next === 43 ||
    next === 44 ||
    next === 51 ||
    next === 60 ||
    next === 135 ||
    next === 139 ||
    next === 140
  );
}

/** Orders two 16-byte addresses. */
function compare(memory: Memory, a: number, b: number): number {
  const { view } = memory;
  for (let i = 0; i < 16; i += 4) {
    const difference = view.getUint32(a + i) - view.getUint32(b + i);
    if (difference !== 0) return difference;
  }
  return 0;
}
