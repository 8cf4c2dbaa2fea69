import { describe, expect, test } from 'vitest';
import * as w from '../rig/h2/wire.ts';
import { Peers, play, request, response, seenOf } from './h2-peers.ts';
import { H2Rig, type Seen } from './h2-rig.ts';

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

  test('a push on stream 0 ends with its connection', () => {
    const peers = new Peers();
    const promise = Buffer.concat([w.u32(0), peers.server.block(request('GET', '/style.css'))]);
    peers.add('server', w.frame(w.TYPE.push, w.END_HEADERS, 1, promise));
    expect(seenOf(peers)).toMatchObject([{ streamId: 0, request: { line: 'GET http://api.example /style.css' } }]);
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

  test('what frames or routes a message is marked where it stands in its trailers', () => {
    for (const [name, anomalies] of [
      ['content-length', ['forbidden_trailer']],
      ['host', ['forbidden_trailer']],
      ['x-sum', []],
    ] as const) {
      const peers = new Peers();
      peers.add('client', w.headers(1, peers.client.block(request('GET', '/')), true));
      const trailers = w.headers(1, peers.server.block([[name, '5']]), true);
      peers.add('server', w.headers(1, peers.server.block(response(200)), false), w.data(1, 'hello', false), trailers);
      expect(seenOf(peers)).toMatchObject([{ outcome: 'complete', anomalies }]);
    }
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

  test.each(['fin', 'rst'] as const)('a body whose end was among lost frames was given up by nobody: %s', (how) => {
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('GET', '/long')), true));
    peers.add('server', w.headers(1, peers.server.block(response(200)), false), w.data(1, 'begin', false));
    const rig = new H2Rig();
    const wire = play(peers.pieces, rig.connection());
    const end = w.data(1, 'end', true);
    wire.gap('server', end.length, 'shed_body').end(how);
    expect(rig.seen).toMatchObject([
      { outcome: 'truncated', losses: [{ reason: 'shed_body', bytes: 0 }], anomalies: [], response: { body: 5 } },
    ]);
  });

  test('joined in the middle: the length in the answer to a HEAD whose method was lost contradicts nothing', () => {
    const peers = new Peers();
    for (const [id, length] of [
      [1, '7'],
      [3, '1234'],
      [5, '56'],
    ] as const) {
      peers.add('client', w.headers(id, peers.client.block(request('HEAD', `/items/${id}`)), true));
      peers.add('server', w.headers(id, peers.server.block(response(200, ['content-length', length])), true));
    }
    const rig = new H2Rig();
    play(peers.pieces.slice(-4), rig.connection('joined')).end('fin');
    expect(rig.seen).toMatchObject([
      { streamId: 3, request: null, outcome: 'truncated', anomalies: [] },
      { streamId: 5, request: { line: ' http:// /items/5' }, outcome: 'truncated', anomalies: [] },
    ]);
  });

  test('a call that began while frames were passed over is not said to have had no answer', () => {
    const rig = new H2Rig();
    const peers = new Peers().call(1);
    const wire = play(peers.pieces.splice(0), rig.connection()).gap('server', 5, 'gap');
    peers.add('client', w.headers(3, peers.client.block(request('GET', '/3')), true));
    peers.add('server', w.headers(3, peers.server.block(response(200)), true).subarray(5));
    play(peers.pieces, wire).end('fin', 'server');
    expect(rig.seen).toMatchObject([
      { outcome: 'complete' },
      { outcome: 'truncated', response: null, losses: [{ reason: 'desync', bytes: 0 }] },
    ]);
  });

  test('a call whose reset may have been among missing bytes is not said to have been left without an answer', () => {
    const rig = new H2Rig();
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('GET', '/1')), true));
    play(peers.pieces, rig.connection()).gap('client', 13, 'gap').end('fin', 'server');
    expect(rig.seen).toMatchObject([{ outcome: 'truncated', response: null, losses: [{ reason: 'gap', bytes: 0 }] }]);
  });

  test('trailers are not taken for a head that was not seen', () => {
    const rig = new H2Rig();
    const peers = new Peers().call(1);
    const wire = play(peers.pieces.splice(0), rig.connection());
    peers.add('client', w.headers(3, peers.client.block(request('GET', '/3')), true));
    play(peers.pieces.splice(0), wire);
    const head = w.headers(3, peers.server.block(response(200, ['grpc-status', '0'])), false);
    wire.gap('server', head.length, 'gap');
    // Now an entry that was not seen.
    peers.add(
      'server',
      w.data(3, 'part', false),
      w.data(3, 'rest', false),
      w.headers(3, peers.server.block([['grpc-status', '0']]), true),
    );
    play(peers.pieces, wire).end('fin');
    expect(rig.seen).toMatchObject([{ outcome: 'complete' }, { outcome: 'truncated', response: null }]);
    // Reassembly, which would have counted the bytes, is not part of this.
    expect(rig.losses().gap).toBe(0);
  });

  test('a response whose status is not known, and another head behind it: the first was an interim one', () => {
    const rig = new H2Rig();
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(request('GET', '/1')), true));
    const wire = play(peers.pieces.splice(0), rig.connection());
    const seen = w.headers(9, peers.server.block([[':status', '103']]), false);
    wire.gap('server', seen.length, 'gap');
    peers.add(
      'server',
      Buffer.concat([w.settings(), w.settings(), w.headers(1, peers.server.block([[':status', '103']]), false)]),
      w.headers(1, peers.server.block(response(200, ['x-id', '1'])), false),
      w.data(1, 'body', true),
    );
    play(peers.pieces, wire).end('fin');
    expect(rig.seen).toMatchObject([
      {
        outcome: 'truncated',
        anomalies: [],
        response: { line: '200', headers: [['x-id', '1']], trailers: [], body: 4 },
      },
    ]);
  });

  test.each([
    ['all that the client sent was seen', 0, 'protocol_error', ['response_without_request'], []],
    ['more than was seen', 1, 'truncated', [], [{ reason: 'gap', bytes: 0 }]],
    ['nobody knows what', -1, 'truncated', [], [{ reason: 'gap', bytes: 0 }]],
  ] as const)('an answer without its request, acknowledged: %s', (_, beyond, outcome, anomalies, losses) => {
    const rig = new H2Rig();
    const peers = new Peers();
    const wire = play(peers.pieces.splice(0), rig.connection());
    const sent = new Peers().pieces
      .filter(({ from }) => from === 'client')
      .reduce((n, { bytes }) => n + bytes.length, 0);
    wire.send('server', w.headers(1, peers.server.block(response(200)), true), beyond < 0 ? -1 : sent + beyond);
    wire.end('fin');
    expect(rig.seen).toMatchObject([{ outcome, anomalies, losses, request: null }]);
  });
});
