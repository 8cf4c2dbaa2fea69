/** Behind a load balancer that tells who the client is (PROXY protocol), calls are what they are without it. */
import { expect, test } from 'vitest';
import { Talk } from '../fixtures/pcap/talk.ts';
import { replayed } from '../rig/replay.ts';
import { get, ok, said } from './replay-lines.ts';

const V1 = 'PROXY TCP4 192.0.2.1 198.51.100.2 40000 80\r\n';
const V2 = Buffer.from('\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0cabcdefghijkl', 'latin1').toString('latin1');
const CALLS = ['GET /1 > 200 3 complete', 'GET /2 > 200 3 complete'];

const rest = (talk: Talk): Buffer => talk.server(ok('one')).client(get('/2')).server(ok('two')).close().bytes();

test.each([
  ['version 1', V1],
  ['version 2', V2],
])('%s: before the first request, with it in one segment, byte by byte', async (_, header) => {
  const talks = [
    new Talk().open().client(header).client(get('/1')),
    new Talk().open().client(header + get('/1')),
    new Talk().open().split('client', header + get('/1'), 1),
    new Talk().open().split('client', header + get('/1'), header.length - 1),
    new Talk().open().client(header).ack('server').client(get('/1')),
  ];
  for (const talk of talks) {
    const answer = await replayed(rest(talk));
    expect(said(answer)).toEqual(CALLS);
    expect(answer.exchanges[0]!.request?.head_bytes).toBe(get('/1').length);
  }
});

test('pipelined calls and a broken request behind it', async () => {
  const pipelined = new Talk().open().client(V1 + get('/1') + get('/2'));
  expect(
    said(
      await replayed(
        pipelined
          .server(ok('one') + ok('two'))
          .close()
          .bytes(),
      ),
    ),
  ).toEqual(CALLS);
  const broken = new Talk().open().client(`${V1}GET /a b HTTP/1.1\r\nHost: a\r\n\r\n`).server(ok('x', ''));
  expect((await replayed(broken.close().bytes())).exchanges.map((x) => x.outcome)).toEqual(['protocol_error']);
});

test('a second header, one of a server, and a connection of nothing else are no call', async () => {
  for (const talk of [
    new Talk()
      .open()
      .client(V1 + V1 + get('/1'))
      .server('bad\n'),
    new Talk().open().server(V1).client('hm\n'),
    new Talk().open().client(V1),
    new Talk().open().client(V2),
  ]) {
    const { exchanges } = await replayed(talk.close().bytes());
    expect(exchanges).toEqual([]);
  }
});
