/** What came for a connection while a direction of it could not go on, in the order in which it came. */
import { Memory } from '../base/memory.ts';
import type { LossReason } from '../model/loss.ts';
import { type Direction, EGRESS, INGRESS } from '../model/segment.ts';
import type { StreamEnd } from '../model/stages.ts';
import type { TlsDirection } from './direction.ts';
import type { TlsShared } from './shared.ts';

interface Held {
  readonly direction: Direction;
  readonly what: 'data' | 'gap' | 'end';
  readonly memory: Memory;
  at: number;
  /** data: end of the bytes in `memory`; gap: its length. */
  readonly end: number;
  readonly ts: number;
  readonly ack: number;
  readonly why: LossReason | 'left_out';
  readonly how: StreamEnd;
}

const NO_MEMORY = Memory.alloc(0);
/** What it costs to hold a piece, however short: a peer that sends single bytes must not buy a hundred times as much memory. */
const AROUND_BYTES = 256;

export interface BacklogOwner {
  readonly shared: TlsShared;
  readonly directions: readonly [TlsDirection, TlsDirection];
  /** A direction that was held up has come to its end. */
  ended(direction: Direction, how: StreamEnd, ts: number): void;
  /** Nothing is held up any more. */
  waitNoMore(): void;
}

export class Backlog {
  readonly #owner: BacklogOwner;
  readonly #held: Held[] = [];
  readonly #of: [number, number] = [0, 0];
  #bytes = 0;
  #draining = false;

  constructor(owner: BacklogOwner) {
    this.#owner = owner;
  }

  get empty(): boolean {
    return this.#held.length === 0;
  }

  /** Whether something of a direction is held, so that what comes for it has to queue up behind. */
  holds(direction: Direction): boolean {
    return this.#of[direction] > 0;
  }

  /** Copies `length` bytes; false: the bound on one connection or on all of them is reached. */
  data(direction: Direction, memory: Memory, at: number, length: number, ts: number, ack: number): boolean {
    const { shared } = this.#owner;
    const cost = length + AROUND_BYTES;
    if (this.#bytes + cost > shared.limits.waitBytes || !shared.reserve(cost)) return false;
    const copy = Memory.alloc(length);
    memory.buf.copy(copy.buf, 0, at, at + length);
    this.#bytes += cost;
    this.#add({ direction, what: 'data', memory: copy, at: 0, end: length, ts, ack, why: 'gap', how: 'fin' });
    return true;
  }

  gap(direction: Direction, length: number, why: LossReason | 'left_out', ts: number): void {
    this.#add({ direction, what: 'gap', memory: NO_MEMORY, at: 0, end: length, ts, ack: -1, why, how: 'fin' });
  }

  end(direction: Direction, how: StreamEnd, ts: number): void {
    this.#add({ direction, what: 'end', memory: NO_MEMORY, at: 0, end: 0, ts, ack: -1, why: 'gap', how });
  }

  #add(held: Held): void {
    this.#held.push(held);
    this.#of[held.direction]++;
  }

  /** Goes through what is held as far as it goes now. */
  drain(): void {
    if (this.#draining) return;
    const { directions } = this.#owner;
    this.#draining = true;
    for (let progress = true; progress; ) {
      progress = false;
      const blocked: [boolean, boolean] = [false, false];
      for (const one of directions) {
        one.stuck = false;
        blocked[one.direction] = !one.reader.retry();
      }
      const goesOn = (direction: Direction): boolean => !blocked[direction] && this.#of[direction] > 0;
      for (let i = 0; i < this.#held.length && (goesOn(INGRESS) || goesOn(EGRESS)); ) {
        const held = this.#held[i]!;
        if (blocked[held.direction] || !this.#replay(held)) {
          blocked[held.direction] = true;
          i++;
          continue;
        }
        this.#held.splice(i, 1);
        this.#of[held.direction]--;
        progress = true;
      }
      if (this.#held.length === 0) break;
    }
    this.#draining = false;
    if (this.#held.length === 0 && !directions[0].stuck && !directions[1].stuck) this.#owner.waitNoMore();
  }

  #replay(held: Held): boolean {
    const one = this.#owner.directions[held.direction];
    if (held.what === 'gap') one.reader.gap(held.end, held.why, held.ts);
    else if (held.what === 'end') this.#owner.ended(held.direction, held.how, held.ts);
    else {
      held.at += one.reader.take(held.memory, held.at, held.end - held.at, held.ts, held.ack);
      if (held.at < held.end) return false;
      const cost = held.memory.size + AROUND_BYTES;
      this.#bytes -= cost;
      this.#owner.shared.release(cost);
    }
    return !one.stuck;
  }
}
