/** A recorded TLS connection without its packets: what tcp hands on, and a decoder that writes down what TLS makes of it. */
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { Memory } from '../../../src/base/memory.ts';
import { Connection } from '../../../src/model/connection.ts';
import { LossLedger, type LossReason } from '../../../src/model/loss.ts';
import type { Direction } from '../../../src/model/segment.ts';
import type { ConnectionDecoder, StreamEnd, StreamSink } from '../../../src/model/stages.ts';
import { readCapture } from '../../../src/pcap/reader.ts';
import { ConnectionTracker } from '../../../src/tcp/tracker.ts';
import { type InnerFacts, TlsConnection } from '../../../src/tls/connection.ts';
import { readKeyLog } from '../../../src/tls/keylog.ts';
import type { HashName } from '../../../src/tls/libcrypto.ts';
import { SecretMemory } from '../../../src/tls/secret-memory.ts';
import { FILE_SECRET_LIMITS, type SecretLabel, SecretStore, TRAFFIC_LABELS } from '../../../src/tls/secrets.ts';
import { TLS_LIMITS, type TlsLimits, TlsShared } from '../../../src/tls/shared.ts';

export type Event =
  | { what: 'data'; direction: Direction; bytes: Buffer; position: number; ts: number; ack: number }
  | { what: 'gap'; direction: Direction; length: number; position: number; ts: number; why: LossReason | 'left_out' }
  | { what: 'followed'; direction: Direction; records: number; turns: number; turn: boolean; ts: number }
  | { what: 'end'; direction: Direction; how: StreamEnd; ts: number };

/** One connection as tcp tells it. */
export interface Conversation {
  readonly events: Event[];
  /** INGRESS or EGRESS. */
  readonly client: Direction;
}

export interface Recording {
  readonly conversations: Conversation[];
  readonly keylog: string;
}

export const fixture = (name: string): string => new URL(`../../fixtures/tls/${name}.pcapng`, import.meta.url).pathname;

export async function recording(name: string): Promise<Recording> {
  const conversations: (Conversation & { connection: Connection })[] = [];
  const keylog: Buffer[] = [];
  const losses = new LossLedger();
  const tracker = new ConnectionTracker({
    losses,
    offline: true,
    decoder: (connection) => {
      const events: Event[] = [];
      conversations.push({ events, client: 0, connection });
      const sink = (direction: Direction): StreamSink => ({
        data: (memory, offset, length, position, ts, ack) => {
          const bytes = Buffer.from(memory.buf.subarray(offset, offset + length));
          events.push({ what: 'data', direction, bytes, position, ts, ack });
        },
        gap: (position, length, why, ts) => void events.push({ what: 'gap', direction, position, length, why, ts }),
        end: (how, ts) => void events.push({ what: 'end', direction, how, ts }),
      });
      return { streams: [sink(0), sink(1)], tick() {} };
    },
  });
  const result = await readCapture('-', tracker, losses, {
    stdin: Readable.from([readFileSync(fixture(name))]),
    onSecrets: (_type, data) => void keylog.push(data),
  });
  if (!result.ok) throw new Error(result.message);
  tracker.finish();
  return {
    conversations: conversations.map(({ events, connection }) => ({
      events,
      client: connection.clientDirection as Direction,
    })),
    keylog: Buffer.concat(keylog).toString('latin1'),
  };
}

export interface Heard {
  /** Decrypted bytes by direction; a byte that misses is 0. */
  readonly plain: [Buffer, Buffer];
  readonly gaps: { direction: Direction; position: number; length: number; why: LossReason | 'left_out' }[];
  readonly ends: (StreamEnd | null)[];
  readonly facts: InnerFacts[];
  /** Each piece of data: [direction, position, length, ts, ack]. */
  readonly pieces: [Direction, number, number, number, number][];
  /** Where the other side had spoken, as far as it was told apart from acknowledgements: direction, position. */
  readonly turns: [Direction, number][];
}

/** A decoder that checks what stages.ts promises: positions without holes but those told, one end, nothing after it. */
export class Listener {
  readonly heard: Heard = {
    plain: [Buffer.alloc(0), Buffer.alloc(0)],
    gaps: [],
    ends: [null, null],
    facts: [],
    pieces: [],
    turns: [],
  };

  readonly factory = (facts: InnerFacts): ConnectionDecoder => {
    const { heard } = this;
    heard.facts.push(facts);
    const next = (direction: Direction, position: number, bytes: Buffer): void => {
      if (heard.ends[direction] !== null) throw new Error('something comes after the end');
      if (heard.plain[direction].length !== position) {
        throw new Error(`position ${position} after ${heard.plain[direction].length} bytes`);
      }
      heard.plain[direction] = Buffer.concat([heard.plain[direction], bytes]);
    };
    const sink = (direction: Direction): StreamSink => ({
      data: (memory, offset, length, position, ts, ack) => {
        next(direction, position, Buffer.from(memory.buf.subarray(offset, offset + length)));
        heard.pieces.push([direction, position, length, ts, ack]);
      },
      gap: (position, length, why) => {
        next(direction, position, Buffer.alloc(length));
        heard.gaps.push({ direction, position, length, why });
      },
      followed: (_records, _turns, turn) => {
        if (turn) heard.turns.push([direction, heard.plain[direction].length]);
      },
      end: (how) => {
        if (heard.ends[direction] !== null) throw new Error('a second end');
        heard.ends[direction] = how;
      },
    });
    return { streams: [sink(0), sink(1)], tick() {} };
  };
}

export interface PlayOptions {
  readonly keylog?: string;
  /** What OpenSSL's EVP_KDF_derive was called with, instead of a key log. */
  readonly expansions?: readonly Expansion[];
  readonly verify?: 'always' | 'bound';
  readonly limits?: Partial<TlsLimits>;
  /** Called before each event. */
  readonly before?: (index: number, store: SecretStore) => void;
  /** Told once, when the handshake is over. */
  readonly settled?: (connection: Connection) => void;
}

export interface Played extends Heard {
  readonly losses: LossLedger;
  readonly shared: TlsShared;
  readonly connection: TlsConnection;
}

const address = { address: '127.0.0.1', port: 1 };
/** One for all plays: mapping memory for each of thousands costs more than they do. */
const slots = 4_096;

/** One call of EVP_KDF_derive (test/fixtures/tls/expansions.c). */
export interface Expansion {
  readonly label: SecretLabel;
  readonly hash: HashName;
  readonly secret: Buffer;
  readonly context: Buffer;
}

export const expansionsOf = (name: string): Expansion[] =>
  readFileSync(fixture(name).replace(/pcapng$/, 'txt'), 'latin1')
    .trim()
    .split('\n')
    .map((line) => {
      const [label, digest, secret, context] = line.split('\t') as [string, string, string, string];
      return {
        label: TRAFFIC_LABELS[label]!,
        hash: digest === 'SHA2-384' ? 'sha384' : 'sha256',
        secret: Buffer.from(secret, 'hex'),
        context: Buffer.from(context, 'hex'),
      };
    });

export function addExpansion(store: SecretStore, { label, hash, secret, context }: Expansion): boolean {
  const both = Memory.from(Buffer.concat([secret, context]));
  return store.addExpansion(label, hash, both, 0, secret.length, secret.length, 0);
}

export const newStore = (keylog = '', transcripts = false): SecretStore => {
  const store = new SecretStore(FILE_SECRET_LIMITS, transcripts, new SecretMemory(slots));
  readKeyLog(Buffer.from(keylog, 'latin1'), store, 0);
  return store;
};

/** Plays a connection to a TLS stage of its own, and checks that nothing of it is left in memory. */
export function play(events: readonly Event[], options: PlayOptions = {}): Played {
  const losses = new LossLedger();
  const store = newStore(options.keylog, options.expansions !== undefined);
  for (const expansion of options.expansions ?? []) addExpansion(store, expansion);
  const secrets = store.memory.used;
  const shared = new TlsShared({
    store,
    losses,
    verify: options.verify ?? 'always',
    limits: { ...TLS_LIMITS, ...options.limits },
    ...(options.settled === undefined ? {} : { settled: options.settled }),
  });
  const listener = new Listener();
  const tls = new TlsConnection(new Connection(1, address, address), shared, listener.factory);
  events.forEach((event, i) => {
    options.before?.(i, store);
    const stream = tls.streams[event.direction];
    if (event.what === 'data') {
      stream.data(Memory.from(event.bytes), 0, event.bytes.length, event.position, event.ts, event.ack);
    } else if (event.what === 'gap') stream.gap(event.position, event.length, event.why, event.ts);
    else if (event.what === 'followed') stream.followed(event.records, event.turns, event.turn);
    else stream.end(event.how, event.ts);
  });
  for (const direction of [0, 1] as const) {
    if (!events.some((e) => e.what === 'end' && e.direction === direction))
      tls.streams[direction].end('capture_end', 1e12);
  }
  shared.finish();
  if (shared.held !== 0) throw new Error(`${shared.held} bytes are still held`);
  if (options.before === undefined && store.memory.used !== secrets) throw new Error('secrets are still held');
  store.close();
  return { ...listener.heard, losses, shared, connection: tls };
}

/** Bytes that are not marked as missing are the true ones: a part of them in the same order, each piece between two gaps. */
export function honest(heard: Buffer, truth: Buffer, played: Played, direction: 0 | 1): boolean {
  const gaps = played.gaps.filter((g) => g.direction === direction);
  let at = 0;
  let from = 0;
  for (const gap of [...gaps, { position: heard.length, length: 0 }]) {
    const piece = heard.subarray(at, gap.position);
    const found = piece.length === 0 ? from : truth.indexOf(piece, from);
    if (found < 0) return false;
    from = found + piece.length;
    at = gap.position + gap.length;
  }
  // Without a gap nothing is missing but what the connection says was not read.
  return (
    gaps.length > 0 ||
    heard.equals(truth) ||
    played.connection.facts.unread !== null ||
    played.losses.totals().length > 0
  );
}
