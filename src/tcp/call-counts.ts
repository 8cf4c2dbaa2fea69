/**
 * How many calls the source itself has counted on a connection, told with the closing of its socket, against those that were read there or are known to
 * have passed: the rest were in bytes that nobody got.
 */
import type { SocketEvent } from '../model/segment.ts';
import type { Flow } from './flow.ts';

const FORGOTTEN_MAX = 16_384;

export class CallCounts {
  readonly #counters: { callsUnread: number; callsUnknown: number };
  /** Calls counted on connections that were forgotten before their sockets closed, by the sockets' numbers. */
  readonly #forgotten = new Map<number, number>();

  constructor(counters: { callsUnread: number; callsUnknown: number }) {
    this.#counters = counters;
  }

  /** A socket closed; null: no record of its connection has come, or it is forgotten. */
  told({ flow: id, calls }: SocketEvent, flow: Flow | null): void {
    const unread = calls - (this.#forgotten.get(id) ?? 0);
    this.#forgotten.delete(id);
    if (flow === null) this.#counters.callsUnread += Math.max(0, unread);
    else {
      flow.calls = unread;
      if (flow.decoder !== null) return;
      if (flow.connection.callsUnknown) this.#counters.callsUnknown--;
      this.#countUnread(flow);
    }
  }

  /** Nothing more is read of it. */
  ended(flow: Flow): void {
    if (flow.calls > 0) this.#countUnread(flow);
    else if (flow.connection.callsUnknown) this.#counters.callsUnknown++;
  }

  /** Its socket may be closed later, and tell of calls that were counted. */
  forget({ id, calls, connection }: Flow): void {
    if (connection.calls === 0 || calls > 0) return;
    const forgotten = this.#forgotten;
    forgotten.set(id, connection.calls + (forgotten.get(id) ?? 0));
    if (forgotten.size > FORGOTTEN_MAX) forgotten.delete(forgotten.keys().next().value!);
  }

  #countUnread({ calls, connection }: Flow): void {
    this.#counters.callsUnread += Math.max(0, calls - connection.calls);
  }
}
