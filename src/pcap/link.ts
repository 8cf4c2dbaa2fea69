/** Link layer headers: how many bytes stand before the IP header. https://www.tcpdump.org/linktypes.html */
import type { Memory } from '../base/memory.ts';
import { linkTunnel } from './tunnels.ts';

const NULL = 0;
const ETHERNET = 1;
const RAW_BSD = 12;
const RAW_OPENBSD = 14;
const RAW = 101;
const LOOP = 108;
const COOKED = 113;
const IPV4 = 228;
const IPV6 = 229;
const COOKED_V2 = 276;

const TYPE_IPV4 = 0x0800;
const TYPE_IPV6 = 0x86dd;
/** 802.1Q, 802.1ad, and the number that QinQ had before it. */
const TYPES_VLAN = [0x8100, 0x88a8, 0x9100];
const VLAN_MAX = 4;
/** Smaller ones are the length of an IEEE 802.3 frame, whose type follows in LLC and SNAP headers (RFC 1042). */
const TYPE_MIN = 0x0600;
const SNAP_BYTES = 8;
/** AF_INET6 of the BSDs and of macOS, where such captures come from, and of Linux. */
const FAMILIES_IPV6 = [10, 24, 28, 30];

/** Link types that people do capture, to name them. */
const NAMES: ReadonlyMap<number, string> = new Map([
  [9, 'PPP'],
  [105, 'IEEE 802.11'],
  [127, 'IEEE 802.11 radiotap'],
  [147, 'user 0'],
  [149, 'user 2'],
  [192, 'PPI'],
  [220, 'USB'],
  [239, 'netfilter log'],
  [252, 'Wireshark upper PDU'],
  [253, 'netlink'],
]);

/** `link type 127 (IEEE 802.11 radiotap)` */
export function linkName(linkType: number): string {
  const name = NAMES.get(linkType);
  return name === undefined ? `link type ${linkType}` : `link type ${linkType} (${name})`;
}

/** Results that are no header length. */
export const NOT_IP = -1;
/** The capture cut the packet within the link header. */
export const CLIPPED = -2;
export const UNKNOWN_LINK = -3;
/** This less the type of a tunnel (tunnels.ts): it may carry TCP and is not decoded. */
export const TUNNEL = -4;

/** Bytes before the IP header of the packet at `offset`, or one of the negative results. */
export function linkPayload(linkType: number, memory: Memory, offset: number, captured: number): number {
  const { view } = memory;
  switch (linkType) {
    case ETHERNET:
      return captured < 14 ? CLIPPED : afterType(memory, offset, captured, 14, view.getUint16(offset + 12));
    case COOKED:
      return captured < 16 ? CLIPPED : afterType(memory, offset, captured, 16, view.getUint16(offset + 14));
    case COOKED_V2:
      return captured < 20 ? CLIPPED : afterType(memory, offset, captured, 20, view.getUint16(offset));
    case RAW:
    case RAW_BSD:
    case RAW_OPENBSD:
    case IPV4:
    case IPV6:
      return 0;
    case NULL:
    case LOOP:
      return captured < 4 ? CLIPPED : family(view.getUint32(offset), view.getUint32(offset, true));
    default:
      return UNKNOWN_LINK;
  }
}

/** The type before `header` bytes decides; VLAN tags and SNAP put another one behind it. ARP and the like carry no TCP. */
function afterType(memory: Memory, offset: number, captured: number, header: number, type: number): number {
  let at = header;
  let t = type;
  for (let tags = 0; t !== TYPE_IPV4; tags++) {
    if (t === TYPE_IPV6) break;
    if (t < TYPE_MIN) {
      const { view } = memory;
      if (captured < at + SNAP_BYTES) return NOT_IP;
      if (view.getUint32(offset + at) !== 0xaaaa_0300 || view.getUint16(offset + at + 4) !== 0) return NOT_IP;
      t = view.getUint16(offset + at + 6);
      at += SNAP_BYTES;
      continue;
    }
    if (linkTunnel(t) !== undefined) return TUNNEL - t;
    if (!TYPES_VLAN.includes(t) || tags === VLAN_MAX) return NOT_IP;
    if (captured < at + 4) return CLIPPED;
    t = memory.view.getUint16(offset + at + 2);
    at += 4;
  }
  return at;
}

/** The address family stands in the byte order of the machine that captured (or in network order: LOOP). */
function family(big: number, little: number): number {
  const value = big <= 0xffff ? big : little;
  return value === 2 || FAMILIES_IPV6.includes(value) ? 4 : NOT_IP;
}
