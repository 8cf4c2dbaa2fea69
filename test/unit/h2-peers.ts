import { expect } from 'vitest';
import * as w from '../rig/h2/wire.ts';
import { H2Rig, type H2Wire, type Piece, type Seen } from './h2-rig.ts';

export const request = (method: string, path: string, ...more: w.Pair[]): w.Pair[] => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', 'api.example'],
  [':path', path],
  ...more,
];
export const response = (status: number, ...more: w.Pair[]): w.Pair[] => [[':status', `${status}`], ...more];

/** Both encoders of a connection, and the frames that open it. */
export class Peers {
  readonly client = new w.Encoder();
  readonly server = new w.Encoder(false);
  readonly pieces: Piece[] = [];

  constructor() {
    this.add('client', w.PREFACE, w.settings([3, 100]));
    this.add('server', w.settings([1, 4_096]), w.frame(w.TYPE.settings, 1, 0));
    this.add('client', w.frame(w.TYPE.settings, 1, 0), w.frame(w.TYPE.window, 0, 0, w.u32(1 << 20)));
  }

  add(from: 'client' | 'server', ...frames: Buffer[]): this {
    this.pieces.push({ from, bytes: Buffer.concat(frames) });
    return this;
  }

  /** A GET and its answer on `id`. */
  call(id: number, ...more: w.Pair[]): this {
    this.add('client', w.headers(id, this.client.block(request('GET', `/items/${id}`, ...more)), true));
    return this.add(
      'server',
      w.headers(id, this.server.block(response(200, ['x-id', `${id}`], ['server', 'test'])), false),
      w.data(id, `body of ${id}`, true),
    );
  }
}

export function play(pieces: readonly Piece[], wire: H2Wire): H2Wire {
  for (const { from, bytes } of pieces) wire.send(from, bytes);
  return wire;
}

/** Plays the pieces and the end of the connection. */
export function seenOf(peers: Peers, rig = new H2Rig()): Seen[] {
  play(peers.pieces, rig.connection()).end('fin');
  expect(rig.h1.pool.taken).toBe(0);
  return rig.seen;
}
