/** Bodies that stand still because their receiver's window is used up (RFC 9113 5.2). */
import { describe, expect, test } from 'vitest';
import * as w from '../rig/h2/wire.ts';
import { Peers, play, request, response } from './h2-peers.ts';
import { H2Rig, type H2Wire } from './h2-rig.ts';

const NOTHING = { count: 0, open: 0, ns: 0 };
const DEFAULT = 65_535;
const INITIAL_WINDOW_SIZE = 4;
const update = (streamId: number, octets: number): Buffer => w.frame(w.TYPE.window, 0, streamId, w.u32(octets));

/** A connection whose server has sent `bytes` of an answer on stream 1; `settings`: the client's. */
class Download {
  readonly rig = new H2Rig();
  readonly wire: H2Wire;
  readonly peers = new Peers();

  constructor(bytes: number, windows: { readonly stream?: number; readonly connection?: number } = {}) {
    const { peers } = this;
    peers.pieces.length = 0;
    const settings = windows.stream === undefined ? w.settings() : w.settings([INITIAL_WINDOW_SIZE, windows.stream]);
    peers.add('client', w.PREFACE, settings);
    if (windows.connection !== undefined) peers.add('client', update(0, windows.connection - DEFAULT));
    peers.add('server', w.settings());
    this.wire = play(this.asked(1).pieces, this.rig.connection());
    this.send(1, bytes);
  }

  asked(id: number): Peers {
    const { peers } = this;
    peers.add('client', w.headers(id, peers.client.block(request('GET', `/${id}`)), true));
    return peers.add('server', w.headers(id, peers.server.block(response(200)), false));
  }

  send(id: number, bytes: number, end = false): this {
    for (let left = bytes; left > 0; left -= 8_192)
      this.wire.send('server', w.data(id, 'x'.repeat(Math.min(left, 8_192)), end && left <= 8_192));
    return this;
  }

  get stalls() {
    return this.rig.shared.h2.stalls;
  }
}

describe('window stalls', () => {
  test('a stream whose window is used up to the last octet, until the client grants more', () => {
    const download = new Download(100_000, { stream: 100_000, connection: 1 << 20 });
    expect(download.stalls).toEqual({ stream: { count: 1, open: 1, ns: 0 }, connection: NOTHING });
    const since = download.wire.now;
    download.wire.tick(2).send('client', update(1, 50_000));
    expect(download.stalls.stream).toEqual({ count: 1, open: 0, ns: download.wire.now - since });
    download.send(1, 49_999);
    expect(download.stalls.stream.count).toBe(1);
    download.send(1, 1);
    expect(download.stalls.stream).toMatchObject({ count: 2, open: 1 });
  });

  test('all that a window has room for is no stall when the body ends there', () => {
    const download = new Download(0).send(1, DEFAULT, true);
    expect(download.stalls).toEqual({ stream: NOTHING, connection: NOTHING });
    expect(download.rig.seen).toMatchObject([{ outcome: 'complete', response: { body: DEFAULT } }]);
  });

  test("the connection's window holds up a stream that has a window of its own", () => {
    const download = new Download(DEFAULT, { stream: 1 << 20 });
    expect(download.stalls).toEqual({ stream: NOTHING, connection: { count: 1, open: 1, ns: 0 } });
    const since = download.wire.now;
    download.wire.tick(1).send('client', update(1, 10_000));
    expect(download.stalls.connection.open).toBe(1);
    download.wire.send('client', update(0, 1));
    expect(download.stalls.connection).toEqual({ count: 1, open: 0, ns: download.wire.now - since });
  });

  test('a new initial window holds for streams that are open, also one below what was sent', () => {
    const download = new Download(DEFAULT, { connection: 1 << 20 });
    expect(download.stalls.stream).toMatchObject({ count: 1, open: 1 });
    download.wire.send('client', w.settings([INITIAL_WINDOW_SIZE, DEFAULT + 10]));
    expect(download.stalls.stream).toMatchObject({ count: 1, open: 0 });
    download.wire.send('client', w.settings([INITIAL_WINDOW_SIZE, 1_000]));
    download.send(1, 10);
    expect(download.stalls.stream).toMatchObject({ count: 2, open: 1 });
    download.wire.send('client', update(1, DEFAULT - 1_000 + 10));
    expect(download.stalls.stream.open).toBe(1);
    download.wire.send('client', update(1, 1));
    expect(download.stalls.stream.open).toBe(0);
  });

  test('padding uses up the window like content', () => {
    const download = new Download(0, { stream: 1_000, connection: 1 << 20 });
    download.wire.send('server', w.data(1, 'x'.repeat(900), false, 98));
    expect(download.stalls.stream).toEqual(NOTHING);
    download.wire.send('server', w.data(1, '', false, 0));
    expect(download.stalls.stream).toMatchObject({ count: 1, open: 1 });
  });

  test('a request body that waits for the server', () => {
    const rig = new H2Rig();
    const peers = new Peers().add('server', w.settings([INITIAL_WINDOW_SIZE, 10]));
    peers.add('client', w.headers(1, peers.client.block(request('POST', '/')), false), w.data(1, '0123456789', false));
    play(peers.pieces, rig.connection());
    expect(rig.shared.h2.stalls.stream).toMatchObject({ count: 1, open: 1 });
  });

  test.each(['reset', 'end', 'missing'] as const)('nothing waits any more after %s', (what) => {
    const { rig, wire, stalls } = new Download(DEFAULT);
    expect(stalls).toMatchObject({ stream: { open: 1 }, connection: { open: 1 } });
    wire.tick(1);
    if (what === 'reset') wire.send('client', w.rst(1, 8));
    else if (what === 'end') wire.end('fin');
    else wire.gap('client', 100, 'gap');
    expect(stalls).toMatchObject({ stream: { count: 1, open: 0 }, connection: { count: 1, open: 0 } });
    expect(stalls.stream.ns).toBeGreaterThanOrEqual(what === 'missing' ? 0 : 1e9);
    wire.end('fin');
    expect(rig.seen.length).toBe(1);
  });

  test('where frames are missing, or the connection is older, nothing is said', () => {
    const download = new Download(DEFAULT - 1, { connection: 1 << 20 });
    download.wire.gap('client', 13, 'gap');
    download.send(1, 10);
    expect(download.stalls).toEqual({ stream: NOTHING, connection: NOTHING });
    const cut = new Download(DEFAULT - 1, { connection: 1 << 20 });
    const grant = update(1, 100);
    cut.wire.send('client', grant.subarray(0, 10)).gap('client', 3, 'gap');
    cut.send(1, 10);
    expect(cut.stalls).toEqual({ stream: NOTHING, connection: NOTHING });
    const rig = new H2Rig();
    const wire = rig.connection('joined');
    const peers = new Peers();
    wire.send('server', w.headers(1, peers.server.block(response(200)), false));
    for (let i = 0; i < 9; i++) wire.send('server', w.data(1, 'x'.repeat(8_192), false));
    expect(rig.shared.h2.stalls).toEqual({ stream: NOTHING, connection: NOTHING });
  });

  test('updates for a thousand streams that never come take bounded room, and the last ones are known', () => {
    const download = new Download(0, { stream: 10, connection: 1 << 20 });
    for (let id = 3; id < 20_000; id += 2) download.wire.send('client', update(id, 5));
    play(download.asked(19_999).pieces.splice(-2), download.wire);
    download.send(19_999, 14);
    expect(download.stalls.stream).toEqual(NOTHING);
    download.send(19_999, 1);
    expect(download.stalls.stream).toMatchObject({ count: 1, open: 1 });
  });
});
