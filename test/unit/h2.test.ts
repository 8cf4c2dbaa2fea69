import { describe, expect, test } from 'vitest';
import * as w from '../rig/h2/wire.ts';
import { H2Rig, type H2Wire, type Piece, type Seen } from './h2-rig.ts';

const request = (method: string, path: string, ...more: w.Pair[]): w.Pair[] => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', 'api.example'],
  [':path', path],
  ...more,
];
const response = (status: number, ...more: w.Pair[]): w.Pair[] => [[':status', `${status}`], ...more];

/** Both encoders of a connection, and the frames that open it. */
class Peers {
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

function play(pieces: readonly Piece[], wire: H2Wire): H2Wire {
  for (const { from, bytes } of pieces) wire.send(from, bytes);
  return wire;
}

/** Plays the pieces and the end of the connection. */
function seenOf(peers: Peers, rig = new H2Rig()): Seen[] {
  play(peers.pieces, rig.connection()).end('fin');
  expect(rig.h1.pool.taken).toBe(0);
  return rig.seen;
}

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

describe('what the peers do against the rules', () => {
  const one = (block: (peers: Peers) => Buffer): Seen => {
    const peers = new Peers();
    peers.add('client', w.headers(1, block(peers), true));
    peers.add('server', w.headers(1, peers.server.block(response(200)), true));
    return seenOf(peers)[0]!;
  };

  test.each<[string, w.Pair[], string]>([
    ['no path', request('GET', '/').slice(0, 3), 'bad_pseudo_header'],
    ['two methods', [[':method', 'GET'], ...request('GET', '/')], 'bad_pseudo_header'],
    ['a pseudo-header field behind a regular one', [['x-a', '1'], ...request('GET', '/')], 'bad_pseudo_header'],
    ['an unknown pseudo-header field', [...request('GET', '/').slice(0, 4), [':x', '1']], 'bad_pseudo_header'],
    ['Transfer-Encoding', request('GET', '/', ['transfer-encoding', 'chunked']), 'bad_field_line'],
    ['a name with capitals', request('GET', '/', ['X-Up', '1']), 'bad_field_line'],
    ['a name with a space', request('GET', '/', ['x up', '1']), 'bad_field_line'],
  ])('%s', (_, fields, anomaly) => {
    expect(one((peers) => peers.client.block(fields, () => 'literal')).anomalies).toContain(anomaly);
  });

  test.each<[string, Buffer]>([
    ['index 0', Buffer.from([0x80])],
    ['an entry that does not exist', Buffer.from([0xff, 0x20])],
    ['an integer without end', Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f])],
    ['a string that is cut', Buffer.from([0x40, 0x05, 0x61])],
    ['the end-of-string symbol', Buffer.from([0x00, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00])],
    ['padding of eight bits', Buffer.from([0x00, 0x82, 0x1f, 0xff, 0x00])],
    ['a table larger than allowed', Buffer.from([0x3f, 0xe2, 0x1f])],
    ['a size update behind a field', Buffer.from([0x82, 0x20])],
  ])('a compression error: %s', (_, block) => {
    const peers = new Peers();
    peers.add('client', w.headers(1, block, true));
    const x = seenOf(peers)[0]!;
    expect(x).toMatchObject({ outcome: 'protocol_error' });
    expect(x.anomalies).toContain('hpack_error');
  });

  test('a Content-Length that the frames contradict is never complete', () => {
    const peers = new Peers();
    peers.add(
      'client',
      w.headers(1, peers.client.block(request('POST', '/', ['content-length', '3'])), false),
      w.data(1, 'hello', true),
    );
    peers.add('server', w.headers(1, peers.server.block(response(200)), true));
    expect(seenOf(peers)).toMatchObject([{ outcome: 'protocol_error', anomalies: ['content_length_mismatch'] }]);
  });

  test('a frame within a header block ends the belief in the connection', () => {
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('POST', '/')), false));
    peers.add('client', w.frame(w.TYPE.headers, 0, 3, Buffer.from([0x82])), w.data(1, 'x', true));
    const rig = new H2Rig();
    play(peers.pieces, rig.connection()).end('fin');
    expect(rig.seen).toMatchObject([{ streamId: 1, outcome: 'protocol_error', anomalies: ['h2_frame_error'] }]);
    expect(rig.losses()).toEqual({ h2_undecoded: 1 });
  });

  test('a flood of CONTINUATION costs no memory beyond the bound, and says so', () => {
    const peers = new Peers();
    const literal = Buffer.concat([Buffer.from([0x00, 0x01, 0x61, 0x7f, 0x81, 0x7e]), Buffer.alloc(16_256)]);
    peers.add('client', w.frame(w.TYPE.headers, w.END_STREAM, 1, peers.client.block(request('GET', '/'))));
    for (let i = 0; i < 64; i++) peers.add('client', w.frame(w.TYPE.continuation, 0, 1, literal));
    peers.add('client', w.frame(w.TYPE.continuation, w.END_HEADERS, 1, literal));
    const rig = new H2Rig();
    const seen = seenOf(peers, rig);
    expect(seen[0]!.losses).toMatchObject([{ reason: 'head_too_large' }]);
    expect(rig.h1.pool.largeBytes).toBe(0);
  });

  test('a small block that names a large entry many times grows to the bound and no further', () => {
    const peers = new Peers();
    const bomb = Buffer.concat([
      peers.client.block(request('GET', '/', ['x-bomb', 'b'.repeat(3_900)])),
      Buffer.alloc(12_000, 0xbe),
    ]);
    peers.add('client', w.headers(1, bomb, true));
    const [x] = seenOf(peers);
    const octets = x!.request!.headers.reduce((sum, [name, value]) => sum + name.length + value.length, 0);
    expect(octets).toBeLessThanOrEqual(256 << 10);
    expect(x!.losses).toMatchObject([{ reason: 'head_too_large' }]);
  });
});

describe('missing bytes', () => {
  test('what the kernel leaves out of a body costs nothing', () => {
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('GET', '/big')), true));
    peers.add('server', w.headers(1, peers.server.block(response(200, ['x-id', '1'])), false));
    const rig = new H2Rig();
    const wire = play(peers.pieces, rig.connection());
    for (const end of [false, false, true])
      wire.send('server', w.data(1, 'x'.repeat(10_000), end).subarray(0, 9)).gap('server', 10_000, 'left_out');
    play([], wire).end('fin');
    expect(rig.seen).toMatchObject([{ outcome: 'complete', losses: [], response: { body: 30_000 } }]);
    expect(rig.ledger.totals()).toEqual([]);
  });

  test('a gap within a body is exact, and the connection goes on', () => {
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('GET', '/big')), true));
    peers.add('server', w.headers(1, peers.server.block(response(200)), false));
    const rig = new H2Rig();
    const wire = play(peers.pieces.splice(0), rig.connection());
    const frame = w.data(1, 'x'.repeat(1_000), true);
    wire.send('server', frame.subarray(0, 100)).gap('server', 300, 'gap').send('server', frame.subarray(400));
    play(peers.call(3).pieces, wire).end('fin');
    expect(rig.seen).toMatchObject([
      { outcome: 'truncated', losses: [{ reason: 'gap', bytes: 300 }], response: { body: 1_000 } },
      { outcome: 'complete', losses: [] },
    ]);
  });

  test('a lost segment: entries that it held are unknown, never wrong, and come back', () => {
    const peers = new Peers();
    for (let id = 1; id <= 41; id += 2)
      peers.call(id, ['x-stable', 'always the same'], ['x-group', `g${id >> 3}`], ['x-unique', `u${id}`]);
    const rig = new H2Rig();
    for (let lost = 3; lost < peers.pieces.length; lost++) {
      const wire = rig.connection();
      peers.pieces.forEach(({ from, bytes }, i) => {
        if (i === lost) wire.gap(from, bytes.length, 'gap');
        else wire.send(from, bytes);
      });
      wire.end('fin');
      const seen = rig.seen.splice(0);
      expect(seen.length).toBeGreaterThanOrEqual(20);
      for (const x of seen) {
        const id = x.streamId;
        const sent = new Map<string, string>([
          ['x-stable', 'always the same'],
          ['x-group', `g${id >> 3}`],
          ['x-unique', `u${id}`],
          ['x-id', `${id}`],
          ['server', 'test'],
        ]);
        for (const [name, value] of [...(x.request?.headers ?? []), ...(x.response?.headers ?? [])]) {
          if (name.startsWith('?')) {
            expect(value).toBe(name);
            expect(x.losses.map(({ reason }) => reason)).toContain('hpack_context_lost');
          } else expect(value).toBe(sent.get(name));
        }
        if (x.request !== null && x.request.line !== ' http:// ')
          expect(x.request.line).toMatch(new RegExp(`/items/${id}$|(GET|) http://(api.example|) $`));
        if (x.losses.length > 0) expect(x.outcome).toBe('truncated');
      }
    }
    expect(rig.h1.pool.taken).toBe(0);
  });

  test('joined in the middle: frames are found, what was agreed before is unknown', () => {
    const peers = new Peers();
    for (let id = 1; id <= 21; id += 2) peers.call(id, ['x-stable', 'always the same'], ['x-unique', `u${id}`]);
    const rig = new H2Rig();
    play(peers.pieces.slice(9), rig.connection('joined')).end('fin');
    const last = rig.seen.at(-1)!;
    expect(last).toMatchObject({ streamId: 21, response: { line: '200', body: 10 } });
    // Its name is an entry from before: the value could be a credential's, for all that is known.
    expect(last.request!.headers.at(-1)![1]).toMatch(/^\?\d+$/);
    for (const [name, value] of last.response!.headers) expect(value).toBe(name);
    expect(last.request!.line).toBe('GET http:// /items/21');
    expect(last.losses).toContainEqual({ reason: 'hpack_context_lost', bytes: 0 });
    expect(rig.seen.length).toBeGreaterThanOrEqual(7);
  });
});

describe('gRPC', () => {
  const call = (timeout: string | null, path = '/pkg.v1.Shop/Buy'): w.Pair[] =>
    request(
      'POST',
      path,
      ['content-type', 'application/grpc+proto'],
      ...(timeout === null ? [] : [['grpc-timeout', timeout] as const]),
    );
  const message = (length: number): string =>
    `\0\0\0${String.fromCharCode(length >> 8, length & 255)}${'m'.repeat(length)}`;

  test('messages each way, over frame borders', () => {
    const peers = new Peers();
    const sent = message(10) + message(0) + message(20);
    peers.add(
      'client',
      w.headers(1, peers.client.block(call('5S')), false),
      w.data(1, sent.slice(0, 3), false),
      w.data(1, sent.slice(3), true),
    );
    peers.add(
      'server',
      w.headers(1, peers.server.block(response(200, ['content-type', 'application/grpc'])), false),
      w.data(1, message(7), false),
    );
    peers.add('server', w.headers(1, peers.server.block([['grpc-status', '0']]), true));
    expect(seenOf(peers)).toMatchObject([
      {
        upgrade: 'grpc',
        route: '/pkg.v1.Shop/Buy',
        outcome: 'complete',
        grpc: { status: 0, timeoutNs: 5e9, requestMessages: 3, responseMessages: 1 },
      },
    ]);
  });

  test('a client that gives up at its deadline is a time-out; before it, an abort', () => {
    for (const [timeout, outcome] of [
      ['50m', 'timeout'],
      ['50S', 'client_abort'],
      [null, 'client_abort'],
    ] as const) {
      const peers = new Peers();
      peers.add('client', w.headers(1, peers.client.block(call(timeout)), true));
      const rig = new H2Rig();
      const wire = play(peers.pieces, rig.connection());
      wire.now += 50e6;
      wire.send('client', w.rst(1, 8)).end('fin');
      expect(rig.seen).toMatchObject([{ outcome, grpc: { status: null, responseMessages: null } }]);
    }
  });

  test('a method that the server does not know has no route of its own', () => {
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(call(null, '/made.up/Name')), true));
    peers.add(
      'server',
      w.headers(
        1,
        peers.server.block(response(200, ['content-type', 'application/grpc'], ['grpc-status', '12'])),
        true,
      ),
    );
    expect(seenOf(peers)).toMatchObject([{ route: 'other', grpc: { status: 12, responseMessages: 0 } }]);
  });
});
