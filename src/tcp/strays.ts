/**
 * Segments whose numbers are far from where their connection stands. They are nobody's, or sent to confuse, or those of
 * another connection on the same addresses and ports whose beginning was not captured (a filter that leaves SYN and FIN
 * out stands in tcpdump's manual). One segment cannot tell, and anybody can make one: they are another connection's when
 * both directions agree on the numbers, or when several of one direction follow one another. Until then they are held.
 */
import { Memory } from '../base/memory.ts';
import { Segment, TCP_ACK } from '../model/segment.ts';
import type { ReassemblyContext } from './context.ts';
import { CHUNK_OVERHEAD } from './pending.ts';

/** Segment.addresses: local, remote. */
const ADDRESSES_BYTES = 32;
/** Held for one connection. */
const SEGMENTS_MAX = 16;
const BYTES_MAX = 256 * 1024;
/** So many of one direction that follow one another are believed without the other's word. */
const FOLLOWING = 4;
/** How far what one direction sends may be from what the other acknowledges, and two segments of one from each other. */
const NEAR_MAX = 1024 * 1024;

export class Strays {
  readonly #context: ReassemblyContext;
  #held: Segment[] = [];
  #bytes = 0;

  constructor(context: ReassemblyContext) {
    this.#context = context;
  }

  /**
   * Takes a segment with payload. null: whose it is remains open; else the segments of the other connection, in order, of
   * which nothing is held any more.
   */
  take(s: Segment): readonly Segment[] | null {
    while (this.#held.length === SEGMENTS_MAX || (this.#held.length > 0 && this.#bytes + costOf(s) > BYTES_MAX)) {
      this.#letGo(this.#held.shift()!, true);
    }
    if (this.#context.held + costOf(s) > this.#context.limits.totalBytes) {
      this.#count(s);
      return null;
    }
    const stray = copyOf(s);
    this.#held.push(stray);
    this.#bytes += costOf(stray);
    this.#context.held += costOf(stray);
    if (!this.#isAnswered(stray) && !this.#follows(stray)) return null;
    const all = this.#held;
    const others = all.filter((held) => agree(held, stray));
    for (const held of all) this.#letGo(held, !others.includes(held));
    this.#held = [];
    return others;
  }

  /** Whether `s` goes on exactly where one that is held and was sent the other way left it. */
  expects(s: Segment): boolean {
    if (s.length === 0 || (s.flags & TCP_ACK) === 0) return false;
    return this.#held.some((held) => held.direction !== s.direction && endOf(held) === s.ack && held.ack === s.seq);
  }

  /** The connection is over: they were nobody's. */
  drop(): void {
    for (const held of this.#held) this.#letGo(held, true);
    this.#held = [];
  }

  #isAnswered(stray: Segment): boolean {
    return this.#held.some((held) => held.direction !== stray.direction && agree(held, stray));
  }

  #follows(stray: Segment): boolean {
    const own = this.#held.filter((held) => held.direction === stray.direction).slice(-FOLLOWING);
    const chained = own.every((held, i) => i === 0 || endOf(own[i - 1]!) === held.seq);
    return own.length === FOLLOWING && chained;
  }

  #letGo(held: Segment, unused: boolean): void {
    this.#bytes -= costOf(held);
    this.#context.held -= costOf(held);
    if (unused) this.#count(held);
  }

  #count(s: Segment): void {
    this.#context.counters.unusable += s.length;
    this.#context.losses.lose('out_of_window', 1, s.length);
  }
}

const costOf = (s: Segment): number => s.captured + CHUNK_OVERHEAD;
const endOf = (s: Segment): number => (s.seq + s.length) >>> 0;
const near = (a: number, b: number): boolean => Math.abs((a - b) | 0) <= NEAR_MAX;

/** Whether two segments can be of one connection. */
function agree(a: Segment, b: Segment): boolean {
  if (a.direction === b.direction) return near(a.seq, b.seq);
  return (a.flags & b.flags & TCP_ACK) !== 0 && near(a.seq, b.ack) && near(a.ack, b.seq);
}

/** What is needed of a segment when its connection is known; what its source counted with it has been counted. */
function copyOf(s: Segment): Segment {
  const copy = new Segment();
  copy.ts = s.ts;
  copy.flow = s.flow;
  copy.addresses = Memory.from(Buffer.from(s.addresses.buf.subarray(s.addressesAt, s.addressesAt + ADDRESSES_BYTES)));
  copy.localPort = s.localPort;
  copy.remotePort = s.remotePort;
  copy.direction = s.direction;
  copy.flags = s.flags;
  copy.seq = s.seq;
  copy.ack = s.ack;
  copy.length = s.length;
  copy.memory = Memory.from(Buffer.from(s.memory.buf.subarray(s.offset, s.offset + s.captured)));
  copy.captured = s.captured;
  return copy;
}
