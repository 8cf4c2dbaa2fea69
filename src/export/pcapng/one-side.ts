/**
 * With both ends of a connection in scope each of its segments is seen twice: once as it leaves, once as it arrives. A
 * capture file has it once, as one end saw it: the end that was seen first.
 */
import type { Segment } from '../../model/segment.ts';

/** Connections remembered; the oldest makes room, and may then appear twice. */
const CONNECTIONS_MAX = 65_536;

export class OneSide {
  /** By the end whose segments are left out: addresses and ports as that end's segments have them. */
  readonly #others = new Set<string>();
  readonly #own = new Map<string, string>();

  /** False: the other end's segments of this connection are the ones to keep. */
  keeps(s: Segment): boolean {
    const { buf } = s.addresses;
    const at = s.addressesAt;
    const local = `${buf.latin1Slice(at, at + 16)}${s.localPort}`;
    const remote = `${buf.latin1Slice(at + 16, at + 32)}${s.remotePort}`;
    const name = `${local} ${remote}`;
    if (this.#others.has(name)) return false;
    if (this.#own.has(name)) return true;
    const other = `${remote} ${local}`;
    this.#own.set(name, other);
    // A connection of an end to itself (RFC 9293 3.5, simultaneous open) has one name.
    if (other !== name) this.#others.add(other);
    if (this.#own.size > CONNECTIONS_MAX) {
      const [oldest, opposite] = this.#own.entries().next().value!;
      this.#own.delete(oldest);
      this.#others.delete(opposite);
    }
    return true;
  }
}
