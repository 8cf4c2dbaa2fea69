/**
 * One connection's protocol stack, and the one place where it is chosen (decoder/chooser.ts):
 *
 *     reassembled bytes ─▶ Chooser ─▶ HTTP/1          decoder/h1.ts ─▶ (Upgrade: h2c) HTTP/2
 *                                ├──▶ HTTP/2          decoder/h2.ts
 *                                ├──▶ a wrapping layer (TLS), which decrypts ─▶ Chooser ─▶ HTTP/1 ...
 *                                └──▶ something else: counted by what it looks like (decoder/opaque.ts)
 *
 * A Chooser begins undecided; the first bytes of either direction say what the connection speaks, and from then on a
 * direction's bytes go straight to what was chosen.
 *
 * **A wrapping layer** is a ConnectionDecoder made by `DecoderShared.tls` when the first bytes look like TLS. It gets the
 * bytes of both directions from the first one on, gaps and ends included, as if it stood alone. Once it can read them it
 * calls `inner(facts)`, once, and feeds the ConnectionDecoder that it gets with the decrypted bytes of both directions:
 * `data` with positions counted in decrypted bytes from 0, each direction without holes but those told by `gap`, `ack`
 * in the same count of the other direction (-1: not known), `end` once for each direction, and `tick`. Connections
 * whose bytes it cannot read it counts itself (`tls_no_secret`). What the inner bytes are is shown in `DecoderShared.open`
 * and `live` instead of 'tls' as soon as it is known. Without a factory TLS is counted as what it is: `tls_no_secret`.
 */
import type { PairerShared } from '../exchange/pairing.ts';
import type { H1Shared } from '../http/h1/shared.ts';
import type { H2Shared } from '../http/h2/shared.ts';
import type { Connection, ConnectionStart } from '../model/connection.ts';
import type { LossSink } from '../model/loss.ts';
import type { ConnectionDecoder, DecoderFactory } from '../model/stages.ts';
import { Account } from './decoder/account.ts';
import { Chooser } from './decoder/chooser.ts';

/** What a connection's bytes look like; `http`: HTTP/1, `switched`: HTTP/1 until it became something else than HTTP/2. */
export type Guess = 'unknown' | 'http' | 'tls' | 'h2' | 'other' | 'switched';

/** What is known of a stream of bytes before its first one. */
export interface LayerFacts {
  /** The bytes were encrypted on the wire: scheme https, and HTTP/2 is "h2", not "h2c". */
  readonly secure: boolean;
  /** The protocol agreed by ALPN ("h2", "http/1.1"); null: none, or not known. */
  readonly alpn: string | null;
  /** opened: position 0 is the first byte that was sent. */
  readonly start: ConnectionStart;
}

/** Makes the layer that unwraps one connection; see above. */
export type WrappingLayer = (
  connection: Connection,
  inner: (facts: LayerFacts) => ConnectionDecoder,
) => ConnectionDecoder;

export interface DecoderShared {
  readonly h1: H1Shared;
  readonly h2: H2Shared;
  readonly pairing: PairerShared;
  readonly losses: LossSink;
  /** Payload bytes that were not HTTP, by what they looked like. */
  readonly notHttp: NotHttpCounters;
  /** Connections by guess; open ones only. */
  readonly open: Record<Guess, number>;
  /** Connections that have not ended. */
  readonly live: Set<LiveConnection>;
  /** A capture file: which end is local says nothing. */
  readonly offline: boolean;
  /** Told when a connection begins, when it is known which end is the server, and when both directions ended. */
  readonly life: ConnectionLife | null;
  /** Unwraps connections that begin like TLS; null: they are counted as `tls_no_secret`. */
  readonly tls?: WrappingLayer | null;
}

/** What can be told of an open connection. */
export interface LiveConnection {
  readonly connection: Connection;
  readonly guess: Guess;
}

export interface ConnectionLife {
  met(connection: Connection): void;
  named(connection: Connection): void;
  ended(connection: Connection, guess: Guess): void;
}

export interface NotHttpCounters {
  tls: number;
  other: number;
  switched: number;
  undecided: number;
}

export const decoderFactory =
  (shared: DecoderShared): DecoderFactory =>
  (connection) =>
    new Chooser(new Account(connection, shared), null);
