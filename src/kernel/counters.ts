/**
 * The programs' exact counters: a struct for each possible CPU and direction in an mmapable array, summed when asked. Works by the
 * inherited descriptor in a process without capabilities (bpf() itself is closed to those).
 */
import type { CaptureLedger, Datagrams, StatusLedger, Traffic } from '../model/status.ts';
import * as abi from './abi.ts';
import { fail, type Mapping, mapShared, type Outcome, PAGE, succeed } from './libbpf.ts';
import type { RingDescriptors, RingLayout } from './load.ts';
import { errnoName } from './posix.ts';

type MessageCount = StatusLedger['requests'];

export interface KernelCounters {
  readonly ledger: CaptureLedger;
  /** The parts of `ledger.not_http` and `ledger.shed`, and what has no ledger line of its own. */
  readonly classes: Readonly<Record<CounterClass, Traffic>>;
  readonly requests: MessageCount;
  readonly responses: MessageCount;
  /** Ring records of every kind that found no room. */
  readonly recordsLost: number;
  /** Sockets of connections, each once. */
  readonly connections: number;
  /** UDP, of which nothing is read: QUIC, as far as its handshake was seen, and everything else. */
  readonly udp: { readonly quic: Datagrams; readonly other: Datagrams };
  /** In TLS, left out or lost: turns of clients (calls, if it is HTTP/1) and of servers (answers), and records. */
  readonly tls: { readonly turns: { readonly request: number; readonly response: number }; readonly records: number };
}

/** Every segment and every byte seen is in exactly one of these. */
export const COUNTER_CLASSES = {
  copied: abi.CLASS_COPIED,
  window: abi.CLASS_WINDOW,
  shed_body: abi.CLASS_SHED_BODY,
  shed_head: abi.CLASS_SHED_HEAD,
  tls: abi.CLASS_TLS,
  h2: abi.CLASS_H2,
  other: abi.CLASS_OTHER,
  unknown: abi.CLASS_UNKNOWN,
  ring_full: abi.CLASS_RING_FULL,
  no_socket: abi.CLASS_NO_SOCKET,
  fragment: abi.CLASS_FRAGMENT,
} as const;
export type CounterClass = keyof typeof COUNTER_CLASSES;
const CLASS_NAMES = Object.keys(COUNTER_CLASSES) as CounterClass[];

export class Counters {
  readonly #mapping: Mapping;
  readonly #view: DataView;
  readonly #structs: number;

  private constructor(mapping: Mapping, structs: number) {
    this.#mapping = mapping;
    this.#view = new DataView(mapping.buffer);
    this.#structs = structs;
  }

  static open(descriptors: RingDescriptors, layout: RingLayout): Outcome<Counters> {
    const structs = 2 * layout.cpus;
    const length = Math.ceil((structs * abi.COUNTERS_SIZE) / PAGE) * PAGE;
    const mapping = mapShared(descriptors.counters, 0, length, false);
    if (typeof mapping === 'number')
      return fail(
        'map_failed',
        `Cannot map the counters (${errnoName(mapping)}): were they handed over by the attacher?`,
      );
    return succeed(new Counters(mapping, structs));
  }

  /** Totals since loading. While traffic flows, a segment may already be in `seen` and not yet in its class. */
  read(): KernelCounters {
    const classes = Object.fromEntries(
      CLASS_NAMES.map((name) => {
        const index = COUNTER_CLASSES[name];
        return [name, this.#traffic(abi.COUNTERS_SEGMENTS + 8 * index, abi.COUNTERS_BYTES + 8 * index)];
      }),
    ) as Record<CounterClass, Traffic>;
    const messages = (seen: number, lost: number): MessageCount => ({ seen: this.#sum(seen), lost: this.#sum(lost) });
    return {
      ledger: {
        seen: this.#traffic(abi.COUNTERS_SEEN_SEGMENTS, abi.COUNTERS_SEEN_BYTES),
        copied: classes.copied,
        // Of TLS records and HTTP/2 frames, what cannot carry header bytes.
        window: total([classes.window, classes.tls, classes.h2]),
        not_http: total([classes.other, classes.unknown, classes.no_socket, classes.fragment]),
        shed: total([classes.shed_body, classes.shed_head]),
        lost: classes.ring_full,
      },
      classes,
      requests: messages(abi.COUNTERS_REQUESTS_SEEN, abi.COUNTERS_REQUESTS_LOST),
      responses: messages(abi.COUNTERS_RESPONSES_SEEN, abi.COUNTERS_RESPONSES_LOST),
      recordsLost: this.#sum(abi.COUNTERS_RECORDS_LOST),
      connections: this.#sum(abi.COUNTERS_CONNECTIONS),
      udp: { quic: this.#datagrams(abi.UDP_QUIC), other: this.#datagrams(abi.UDP_OTHER) },
      tls: {
        turns: { request: this.#sum(abi.COUNTERS_TURNS_LOST), response: this.#sum(abi.COUNTERS_TURNS_LOST + 8) },
        records: this.#sum(abi.COUNTERS_TLS_RECORDS_LOST),
      },
    };
  }

  close(): void {
    this.#mapping.release();
  }

  #datagrams(kind: number): Datagrams {
    return {
      datagrams: this.#sum(abi.COUNTERS_UDP_DATAGRAMS + 8 * kind),
      bytes: this.#sum(abi.COUNTERS_UDP_BYTES + 8 * kind),
    };
  }

  #traffic(segmentsAt: number, bytesAt: number): Traffic {
    return { segments: this.#sum(segmentsAt), bytes: this.#sum(bytesAt) };
  }

  /** A CPU takes back what another one counted: each has its part of the sum in two's complement, and a look between the two finds too little. */
  #sum(at: number): number {
    let sum = 0;
    for (let i = 0; i < this.#structs; i++) {
      const offset = i * abi.COUNTERS_SIZE + at;
      sum += this.#view.getInt32(offset + 4, true) * 4294967296 + this.#view.getUint32(offset, true);
    }
    return Math.max(0, sum);
  }
}

function total(parts: readonly Traffic[]): Traffic {
  return parts.reduce((sum, t) => ({ segments: sum.segments + t.segments, bytes: sum.bytes + t.bytes }), {
    segments: 0,
    bytes: 0,
  });
}
