/** Clients that do not wait: requests between the pieces of an answer, and what shows them when bytes miss. */
import { describe, expect, test } from 'vitest';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import { replayed } from '../rig/replay.ts';
import { casesOf, o } from './replay-cases.ts';
import { get, ok, said } from './replay-lines.ts';

const answer = (id: string): string => ok('x', `X-Id: ${id}\r\nX-Long: ${'l'.repeat(60)}\r\n`);

casesOf('a request between two pieces of the head that answers an older one', [
  [
    'once',
    () =>
      o()
        .client(get('/1'))
        .server(answer('1').slice(0, 30))
        .client(get('/2'))
        .server(answer('1').slice(30), answer('2'))
        .close(),
    ['GET /1 > 200 1 complete', 'GET /2 > 200 1 complete'],
  ],
  [
    'between all pieces, of a client that pipelines',
    () =>
      o()
        .client(get('/1'), get('/2'))
        .server(answer('1').slice(0, 20))
        .client(get('/3'))
        .server(answer('1').slice(20, 40))
        .client(get('/4'))
        .server(answer('1').slice(40), answer('2').slice(0, 20))
        .client(get('/5'))
        .server(answer('2').slice(20), answer('3'), answer('4'), answer('5'))
        .close(),
    [1, 2, 3, 4, 5].map((n) => `GET /${n} > 200 1 complete`),
  ],
  [
    'of an interim response',
    () =>
      o()
        .client(get('/1'))
        .server('HTTP/1.1 103 Early')
        .client(get('/2'))
        .server(` Hints\r\nX-Id: 1\r\n\r\n${answer('1')}`, answer('2'))
        .close(),
    ['GET /1 > 200 1 i103 complete', 'GET /2 > 200 1 complete'],
  ],
]);

const FAKE = 'HTTP/1.1 200 OK\r\nX-Id: fake\r\nContent-Length: 3\r\n\r\nabc';

describe('without packets', () => {
  const without = async (talk: Talk, ...gone: number[]): Promise<string[]> =>
    said(await replayed(fileOf(talk.packets.filter((_, i) => !gone.includes(i)))));

  test('a body of answers whose own head is missing is not believed, though the client spoke in between', async () => {
    const talk = new Talk()
      .open()
      .client(get('/0'))
      .server(ok('0'))
      .client('POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab')
      .server(`HTTP/1.1 200 OK\r\nContent-Length: ${3 * FAKE.length}\r\n\r\n`)
      .client('cd')
      .split('server', FAKE.repeat(3), FAKE.length)
      .client(get('/2'))
      .server(ok('2'))
      .close();
    expect(await without(talk, 6)).toEqual([
      'GET /0 > 200 1 complete',
      'POST /1 4 > 200 3 truncated gap:40 desync:0',
      '- > 200 3 truncated gap:0 desync:0',
      '- > 200 3 truncated gap:0 desync:0',
      'GET /2 > 200 1 complete',
      'lost gap:40 desync:0',
    ]);
  });

  test('a request that was passed over shows a client that pipelines', async () => {
    const talk = new Talk()
      .open()
      .client(`POST /0 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n`)
      .client('hello\r\n0\r\n\r\n')
      .client(get('/1'))
      .server(answer('0'))
      .client(get('/2'))
      .server(answer('1'))
      .server(answer('2'))
      .close();
    // The end of the first and the beginning of the second are not known: no pair is certain.
    expect(await without(talk, 4)).toEqual([
      'POST /0 > 200 1 truncated gap:12',
      'GET /2 > 200 1 truncated gap:0',
      '- > 200 1 truncated gap:0',
      'lost gap:12 desync:28',
    ]);
  });

  test('an answer to a request that was not seen, behind one that was: the client did not wait', async () => {
    const talk = new Talk()
      .open()
      .client(get('/0'))
      .client(get('/1'))
      .server(answer('0'))
      .client(get('/2'))
      .server(answer('1'))
      .server(answer('2'))
      .close();
    for (const line of await without(talk, 4)) expect(line).toMatch(/^GET \/0 .*complete$|truncated gap:|^lost/);
  });
});
