/** Packets in packets: they may carry calls and are not decoded, which has to be said, by name. */

/** By the type of an Ethernet or cooked header (IEEE 802 numbers). */
const BY_TYPE: ReadonlyMap<number, string> = new Map([
  [0x8847, 'MPLS'],
  [0x8848, 'MPLS'],
  [0x8864, 'PPPoE'],
  [0x88e5, 'MACsec (encrypted)'],
  [0x88e7, 'a backbone bridge (802.1ah)'],
  [0x894f, 'NSH'],
]);

/** By the protocol of an IP header (IANA protocol numbers). */
const BY_PROTOCOL: ReadonlyMap<number, string> = new Map([
  [4, 'IP in IP'],
  [41, 'IPv6 in IP'],
  [47, 'GRE'],
  [50, 'ESP (encrypted)'],
  [97, 'Ethernet in IP'],
  [137, 'MPLS in IP'],
]);

/**
 * By the port of a UDP header. Any program may send to a port of any number: of the payload's first eight bytes, as two
 * numbers, some have values that chance does not give.
 */
interface UdpTunnel {
  readonly name: string;
  readonly begins: (first: number, second: number) => boolean;
}
/** RFC 7348 5, and with a group (draft-smith-vxlan-group-policy). */
const VXLAN: UdpTunnel = {
  name: 'VXLAN',
  begins: (first, second) => (first & 0x7f00_0000) === 0x0800_0000 && (second & 0xff) === 0,
};
const BY_PORT: ReadonlyMap<number, UdpTunnel> = new Map([
  [4789, VXLAN],
  [8472, VXLAN],
  // draft-ietf-nvo3-vxlan-gpe
  [4790, { name: 'VXLAN', begins: (first, second) => first >>> 24 === 0x0c && (second & 0xff) === 0 }],
  // RFC 8926 3.4
  [6081, { name: 'Geneve', begins: (first, second) => first >>> 30 === 0 && (second & 0xff) === 0 }],
  // 3GPP TS 29.281 5.1: version 1, a packet of the user's
  [2152, { name: 'GTP', begins: (first) => (first & 0xf0ff_0000) >>> 0 === 0x30ff_0000 }],
  // https://www.wireguard.com/protocol/: transport data
  [51_820, { name: 'WireGuard (encrypted)', begins: (first) => first === 0x0400_0000 }],
]);

/** Bytes that `udpTunnel` looks at. */
export const UDP_TUNNEL_BYTES = 8;

/** What a link header's type carries; undefined: no tunnel. */
export const linkTunnel = (type: number): string | undefined => BY_TYPE.get(type);

/** What an IP header's protocol carries; undefined: no tunnel. */
export const ipTunnel = (protocol: number): string | undefined => BY_PROTOCOL.get(protocol);

/** What a datagram to `port` carries, whose payload begins at `at`; undefined: no tunnel. */
export function udpTunnel(port: number, view: DataView, at: number): string | undefined {
  const tunnel = BY_PORT.get(port);
  return tunnel?.begins(view.getUint32(at), view.getUint32(at + 4)) === true ? tunnel.name : undefined;
}
