import { UNSEEN } from '../base/clock.ts';
import type { Connection } from '../model/connection.ts';
import type { Peer, StreamEnd } from '../model/stages.ts';

/** How the connection ended, as far as it did. */
export interface Closing {
  /** Whose FIN came first. */
  firstFin: 'client' | 'server' | null;
  /** When the client's FIN came; UNSEEN when it did not, or without a time. */
  clientFinAt: number;
  /** A FIN of the server came, first or not. */
  serverFin: boolean;
  /** Whose RST came first. */
  resetBy: 'client' | 'server' | null;
  /** No more bytes of this direction come, for whatever reason. */
  clientEnded: boolean;
  serverEnded: boolean;
  /** Why the end was not seen; null: it was, or is still to come. */
  gone: 'connection_limit' | 'end_unseen' | null;
}

/** Nothing ended yet. */
export const STILL_OPEN: Readonly<Closing> = Object.freeze({
  firstFin: null,
  clientFinAt: UNSEEN,
  serverFin: false,
  resetBy: null,
  clientEnded: false,
  serverEnded: false,
  gone: null,
});

/**
 * The direction of `by` of `connection` ended at `ts`; for a reset, the direction that sent it first is told first. A peer
 * whose own direction had ended before, by FIN, is told by the connection alone: who has closed its socket answers with a
 * reset what still comes.
 */
export function ended(closing: Closing, connection: Connection, by: Peer, how: StreamEnd, ts: number): void {
  if (by === 'client') closing.clientEnded = true;
  else closing.serverEnded = true;
  if (how === 'fin') {
    closing.firstFin ??= by;
    if (by === 'client') closing.clientFinAt = ts;
    else closing.serverFin = true;
  } else if (how === 'rst') closing.resetBy ??= resetter(connection) ?? by;
  else if (how === 'evicted') closing.gone = 'connection_limit';
  else if (how === 'vanished') closing.gone = 'end_unseen';
}

function resetter({ resetBy, clientDirection }: Connection): Peer | null {
  if (resetBy === -1 || clientDirection === -1) return null;
  return resetBy === clientDirection ? 'client' : 'server';
}
