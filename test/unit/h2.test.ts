import { describe, expect, test } from 'vitest';
import * as w from '../rig/h2/wire.ts';
import { Peers, play, request, response, seenOf } from './h2-peers.ts';
import { H2Rig, type H2Wire } from './h2-rig.ts';

describe('messages', () => {
  test('a call with everything: padding, priority, trailers, an interim response', () => {
    const peers = new Peers();
    const block = peers.client.block(request('POST', '/a?b=c', ['x-a', '1'], ['cookie', 'a=b'], ['cookie', 'c=d']));
    const cut = 7;
    const padded = Buffer.concat([
      Buffer.from([3]),
      w.u32(0x80000000),
      Buffer.from([9]),
      block.subarray(0, cut),
      Buffer.alloc(3),
    ]);
    peers.add(
      'client',
      w.frame(w.TYPE.headers, w.PADDED | w.PRIORITY, 1, padded),
      w.frame(w.TYPE.continuation, 0, 1, block.subarray(cut, cut + 5)),
      w.frame(w.TYPE.continuation, w.END_HEADERS, 1, block.subarray(cut + 5)),
      w.data(1, 'hello', false, 200),
      w.frame(0xf7, 0xff, 1, 'of a type that nobody knows'),
      w.data(1, ' world', false),
      w.headers(1, peers.client.block([['x-sum', '11']]), true),
    );
    peers.add('server', w.headers(1, peers.server.block(response(103, ['link', '</a>'])), false));
    peers.add('server', w.headers(1, peers.server.block(response(200, ['x-b', '2'])), false));
    peers.add('server', w.data(1, '0123456789', false, 0), w.headers(1, peers.server.block([['x-end', 'yes']]), true));
    expect(seenOf(peers)).toMatchObject([
      {
        streamId: 1,
        protocol: 'h2c',
        outcome: 'complete',
        losses: [],
        anomalies: [],
        request: {
          line: 'POST http://api.example /a?b=c',
          headers: [
            ['x-a', '1'],
            ['cookie', 'a=b'],
            ['cookie', 'c=d'],
          ],
          trailers: [['x-sum', '11']],
          body: 11,
        },
        interim: [{ status: 103, fields: [['link', '</a>']] }],
        response: { line: '200', headers: [['x-b', '2']], trailers: [['x-end', 'yes']], body: 10 },
      },
    ]);
  });

  test('however the bytes are cut, the same calls come out', () => {
    const peers = new Peers();
    for (const id of [1, 3, 5]) peers.call(id, ['x-common', 'the same'], ['x-unique', `u${id}`]);
    const whole = seenOf(peers);
    expect(whole.length).toBe(3);
    const total = peers.pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
    const rig = new H2Rig();
    for (let at = 0; at < total; at++) {
      const wire = rig.connection();
      let left = at;
      for (const { from, bytes } of peers.pieces) {
        const first = Math.min(Math.max(left, 0), bytes.length);
        wire.send(from, bytes.subarray(0, first)).send(from, bytes.subarray(first));
        left -= bytes.length;
      }
      wire.end('fin');
      expect(rig.seen.splice(0)).toEqual(whole);
    }
    const wire = rig.connection();
    for (const { from, bytes } of peers.pieces) for (const byte of bytes) wire.send(from, Buffer.from([byte]));
    wire.end('fin');
    expect(rig.seen).toEqual(whole);
    expect(rig.h1.pool.taken).toBe(0);
    expect(rig.shared.h2.hpack.budget.bytes).toBe(0);
  });

  test('a header block in any parts, empty ones too', () => {
    const fields = request('GET', '/parts', ['x-a', '1']);
    const size = new w.Encoder().block(fields).length;
    for (let first = 0; first <= size; first++) {
      for (const second of [first, Math.min(size, first + 1), size]) {
        const peers = new Peers();
        const block = peers.client.block(fields);
        peers.add(
          'client',
          w.frame(w.TYPE.headers, w.END_STREAM, 1, block.subarray(0, first)),
          w.frame(w.TYPE.continuation, 0, 1, block.subarray(first, second)),
          w.frame(w.TYPE.continuation, w.END_HEADERS, 1, block.subarray(second)),
        );
        peers.add('server', w.headers(1, peers.server.block(response(204)), true));
        expect(seenOf(peers.call(3)), `${first}, ${second} of ${size}`).toMatchObject([
          { request: { line: 'GET http://api.example /parts', headers: [['x-a', '1']] }, outcome: 'complete' },
          { outcome: 'complete' },
        ]);
      }
    }
  });

  test('a server that speaks first', () => {
    const peers = new Peers().call(1);
    const [first, second, ...rest] = peers.pieces;
    const rig = new H2Rig();
    play([second!, first!, ...rest], rig.connection()).end('fin');
    expect(rig.seen).toMatchObject([{ outcome: 'complete', response: { body: 9 } }]);
  });

  test('a pushed response is a call of its own', () => {
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('GET', '/')), true));
    const promise = Buffer.concat([w.u32(2), peers.server.block(request('GET', '/style.css'))]);
    peers.add('server', w.frame(w.TYPE.push, w.END_HEADERS, 1, promise));
    peers.add('server', w.headers(1, peers.server.block(response(200)), true));
    peers.add('server', w.headers(2, peers.server.block(response(200)), false), w.data(2, 'css', true));
    expect(seenOf(peers)).toMatchObject([
      { streamId: 1, request: { line: 'GET http://api.example /' }, outcome: 'complete' },
      {
        streamId: 2,
        request: { line: 'GET http://api.example /style.css' },
        response: { body: 3 },
        outcome: 'complete',
      },
    ]);
  });

  test('a pushed response whose promise was not captured', () => {
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('GET', '/')), true));
    const promise = Buffer.concat([w.u32(2), peers.server.block(request('GET', '/style.css'))]);
    const rig = new H2Rig();
    const wire = play(peers.pieces, rig.connection());
    wire.send('server', w.frame(w.TYPE.push, w.END_HEADERS, 1, promise).subarray(0, 11));
    wire.gap('server', promise.length - 2, 'gap');
    // All that the client sent is acknowledged, and was seen.
    const asked = peers.pieces.reduce((sum, { from, bytes }) => sum + (from === 'client' ? bytes.length : 0), 0);
    wire.send('server', w.headers(2, new w.Encoder(false).block(response(200)), false), asked);
    wire.send('server', w.data(2, 'css', true), asked).end('fin');
    expect(rig.seen).toMatchObject([
      { streamId: 2, request: null, response: { body: 3 }, anomalies: [], outcome: 'truncated' },
      { streamId: 1, response: null, outcome: 'reset_before_headers' },
    ]);
  });

  test('CONNECT, and extended CONNECT', () => {
    const peers = new Peers();
    const connect: w.Pair[] = [
      [':method', 'CONNECT'],
      [':authority', 'db.example:5432'],
    ];
    const websocket: w.Pair[] = [...request('CONNECT', '/chat'), [':protocol', 'websocket']];
    peers.add(
      'client',
      w.headers(1, peers.client.block(connect), false),
      w.headers(3, peers.client.block(websocket), false),
    );
    peers.add(
      'server',
      w.headers(1, peers.server.block(response(200)), false),
      w.headers(3, peers.server.block(response(200)), false),
    );
    peers.add('client', w.data(1, 'select', true), w.data(3, 'frame', true));
    peers.add('server', w.data(1, 'rows', true), w.data(3, 'frames', true));
    expect(seenOf(peers)).toMatchObject([
      {
        outcome: 'upgraded',
        upgrade: 'connect',
        request: { line: 'CONNECT http://db.example:5432 db.example:5432', body: 6 },
        anomalies: [],
      },
      {
        outcome: 'upgraded',
        upgrade: 'websocket',
        request: { line: 'CONNECT http://api.example /chat' },
        response: { body: 6 },
        anomalies: [],
      },
    ]);
  });

  test('h2c by Upgrade is one call, and the connection goes on', () => {
    const peers = new Peers();
    const opening = peers.pieces.splice(0);
    peers.add(
      'client',
      Buffer.from(
        'GET /first HTTP/1.1\r\nHost: api.example\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n',
      ),
    );
    peers.add(
      'server',
      Buffer.from('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n'),
      opening[1]!.bytes,
    );
    peers.add('client', opening[0]!.bytes);
    peers.add(
      'server',
      w.headers(1, peers.server.block(response(200, ['x-id', 'first'])), false),
      w.data(1, 'hello', true),
    );
    peers.call(3);
    const seen = seenOf(peers);
    expect(seen).toMatchObject([
      {
        streamId: 1,
        protocol: 'h2c',
        request: { line: 'GET :// /first' },
        interim: [{ status: 101 }],
        response: { line: '200', headers: [['x-id', 'first']], body: 5 },
        outcome: 'complete',
      },
      { streamId: 3, request: { line: 'GET http://api.example /items/3' }, outcome: 'complete' },
    ]);
  });
});

describe('ends', () => {
  const open = (): Peers => {
    const peers = new Peers();
    return peers.add('client', w.headers(1, peers.client.block(request('GET', '/slow')), true));
  };
  const begun = (): Peers => {
    const peers = open();
    return peers.add('server', w.headers(1, peers.server.block(response(200)), false), w.data(1, 'abc', false));
  };
  /** All that was announced has come, and END_STREAM has not. */
  const arrived = (): Peers =>
    open().add(
      'server',
      w.headers(1, new w.Encoder(false).block(response(200, ['content-length', '3'])), false),
      w.data(1, 'abc', false),
    );
  const upload = (): Peers => {
    const peers = new Peers();
    return peers.add(
      'client',
      w.headers(1, peers.client.block(request('POST', '/up')), false),
      w.data(1, 'abc', false),
    );
  };

  test.each<[string, () => Peers, (wire: H2Wire) => void, string]>([
    ['REFUSED_STREAM', open, (wire) => wire.send('server', w.rst(1, 7)), 'reset_before_headers'],
    ['RST_STREAM by the server in the body', begun, (wire) => wire.send('server', w.rst(1, 2)), 'reset_in_body'],
    ['RST_STREAM by the client while it waits', open, (wire) => wire.send('client', w.rst(1, 8)), 'client_abort'],
    ['RST_STREAM by the client in the body', begun, (wire) => wire.send('client', w.rst(1, 8)), 'client_abort'],
    [
      'RST_STREAM by the client that has the whole body',
      arrived,
      (wire) => wire.send('client', w.rst(1, 8)),
      'complete',
    ],
    [
      'RST_STREAM by the server behind the whole body',
      arrived,
      (wire) => wire.send('server', w.rst(1, 2)),
      'reset_in_body',
    ],
    ['RST_STREAM by the client in its upload', upload, (wire) => wire.send('client', w.rst(1, 8)), 'client_abort'],
    [
      'RST_STREAM by the server in an upload',
      upload,
      (wire) => wire.send('server', w.rst(1, 7)),
      'reset_before_headers',
    ],
    ['GOAWAY below the stream', open, (wire) => wire.send('server', w.goaway(0, 0)), 'reset_before_headers'],
    ['FIN of the server', open, (wire) => wire.endOf('server', 'fin'), 'reset_before_headers'],
    ['FIN of the server in the body', begun, (wire) => wire.end('fin', 'server'), 'truncated'],
    ['RST of the connection by the server', open, (wire) => wire.end('rst', 'server'), 'reset_before_headers'],
    ['RST of the connection by the client', open, (wire) => wire.end('rst', 'client'), 'timeout'],
    ['RST of the connection in the body', begun, (wire) => wire.end('rst', 'server'), 'reset_in_body'],
    ['the end of the capture', begun, (wire) => wire.end('capture_end'), 'open'],
    ['an idle connection that is given up', begun, (wire) => wire.end('vanished'), 'truncated'],
    ['no answer', open, (wire) => wire.tick(1).tick(700), 'timeout'],
  ])('%s', (_, peers, end, outcome) => {
    const rig = new H2Rig();
    const wire = play(peers().pieces, rig.connection());
    end(wire);
    expect(rig.seen.map((x) => x.outcome)).toEqual([outcome]);
    expect(wire.connection.load.inFlight).toBe(0);
    wire.end('fin');
    expect(rig.seen.length).toBe(1);
    expect(rig.h1.pool.taken).toBe(0);
  });

  test('RST_STREAM(NO_ERROR) after a whole early response is no failure', () => {
    const peers = upload();
    peers.add('server', w.headers(1, peers.server.block(response(413)), true), w.rst(1, 0));
    expect(seenOf(peers)).toMatchObject([
      { outcome: 'complete', anomalies: ['early_response'], response: { line: '413' } },
    ]);
  });

  test('a response that was under way when the client reset the stream makes no call of its own', () => {
    const peers = open();
    peers.add('client', w.rst(1, 8));
    peers.add(
      'server',
      w.headers(1, peers.server.block(response(200, ['x-late', '1'])), false),
      w.data(1, 'late', true),
    );
    peers.call(3);
    const seen = seenOf(peers);
    expect(seen.map(({ streamId, outcome }) => [streamId, outcome])).toEqual([
      [1, 'client_abort'],
      [3, 'complete'],
    ]);
  });
});
