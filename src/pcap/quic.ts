/**
 * Which datagrams of a capture are QUIC's, as the kernel side tells live ones (bpf/datagram.h): a handshake has a long header with a version
 * (RFC 8999 5.1), and what follows it between the same two ends looks like anything.
 */
import type { Memory } from '../base/memory.ts';

/** The header form, and the bit that is fixed (RFC 9000 17.2). */
const LONG_HEADER = 0xc0;
const HEADER_BYTES = 5;
const VERSIONS: ReadonlySet<number> = new Set([0x00000001, 0x6b3343cf]);
/** Upper 24 bits of the versions of drafts. */
const DRAFTS = 0xff0000;
/** Pairs of ends remembered; of more the oldest are forgotten. */
const PAIRS_MAX = 65_536;

const begins = ({ view }: Memory, at: number, end: number): boolean => {
  if (end - at < HEADER_BYTES || (view.getUint8(at) & LONG_HEADER) !== LONG_HEADER) return false;
  const version = view.getUint32(at + 1);
  return VERSIONS.has(version) || version >>> 8 === DRAFTS;
};

export class QuicDatagrams {
  readonly #pairs = new Set<string>();

  /**
   * Is the payload in [at, end) QUIC's?
   *
   * @param source where the source address begins: `size` bytes, and the destination address behind them.
   * @param ports where the two ports are.
   */
  has(memory: Memory, source: number, size: number, ports: number, at: number, end: number): boolean {
    const pair = pairOf(memory, source, size, ports);
    if (this.#pairs.has(pair)) return true;
    if (!begins(memory, at, end)) return false;
    if (this.#pairs.size >= PAIRS_MAX) this.#pairs.delete(this.#pairs.values().next().value!);
    this.#pairs.add(pair);
    return true;
  }
}

/** The same for both directions. */
function pairOf({ buf }: Memory, source: number, size: number, ports: number): string {
  const end = (address: number, port: number): string =>
    buf.latin1Slice(address, address + size) + buf.latin1Slice(port, port + 2);
  const [one, other] = [end(source, ports), end(source + size, ports + 2)];
  return one < other ? one + other : other + one;
}
