import { describe, expect, test } from 'vitest';
import * as w from '../rig/h2/wire.ts';
import { Peers, play, request, response, seenOf } from './h2-peers.ts';
import { H2Rig } from './h2-rig.ts';

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

  test.each([
    // tonic's server says CANCELLED when the time is up; anybody's says it when somebody cancelled.
    ['CANCELLED at the deadline', '50m', 50e6, 'status 1', 'timeout'],
    ['CANCELLED before it', '50S', 50e6, 'status 1', 'complete'],
    ['CANCELLED without one', null, 50e6, 'status 1', 'complete'],
    ['DEADLINE_EXCEEDED, whenever', '50S', 1e6, 'status 4', 'timeout'],
    ['OK behind it', '50m', 60e6, 'status 0', 'complete'],
    // grpc-go's server takes the stream back.
    ['a reset by the server at the deadline', '50m', 50e6, 'reset', 'timeout'],
    ['a reset by the server before it', '50S', 50e6, 'reset', 'reset_before_headers'],
    ['a reset in the answer at the deadline', '50m', 50e6, 'answer, reset', 'timeout'],
    ['a reset in the answer before it', '50S', 50e6, 'answer, reset', 'reset_in_body'],
    ['the end of the connection at the deadline', '50m', 50e6, 'end', 'timeout'],
  ] as const)('deadline: %s', (_says, timeout, afterNs, how, outcome) => {
    const peers = new Peers();
    peers.add('client', w.headers(1, peers.client.block(call(timeout)), true));
    const rig = new H2Rig();
    const wire = play(peers.pieces, rig.connection());
    wire.now += afterNs;
    const plain = response(200, ['content-type', 'application/grpc']);
    if (how.startsWith('status')) {
      const block = peers.server.block([...plain, ['grpc-status', how.slice('status '.length)]]);
      wire.send('server', w.headers(1, block, true));
    } else if (how !== 'end') {
      if (how.startsWith('answer')) wire.send('server', w.headers(1, peers.server.block(plain), false));
      wire.send('server', w.rst(1, 8));
    }
    wire.end('fin', 'server');
    expect(rig.seen).toMatchObject([{ outcome }]);
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

  test.each([
    ['60m', 0.046, 'timeout'],
    ['60m', 0.04, 'client_abort'],
    ['1000000u', 0.91, 'timeout'],
    ['1S', 0.89, 'client_abort'],
    ['1M', 59.95, 'timeout'],
    ['1M', 55, 'client_abort'],
  ])('with %s to wait, taken back after %s s: %s', (timeout, seconds, outcome) => {
    const rig = new H2Rig();
    const peers = new Peers();
    const fields = request('POST', '/a.B/C', ['content-type', 'application/grpc'], ['grpc-timeout', timeout]);
    peers.add('client', w.headers(1, peers.client.block(fields), false), w.data(1, '\0\0\0\0\0', true));
    const wire = play(peers.pieces, rig.connection());
    wire.now += seconds * 1e9;
    wire.send('client', w.rst(1, 8)).end('fin');
    expect(rig.seen).toMatchObject([{ outcome, upgrade: 'grpc' }]);
  });
});
