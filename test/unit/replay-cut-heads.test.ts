/** Heads of which a capture's snaplen, or a hole, has left the beginning: what is there is shown, and that it is not all. */
import { describe, expect, test } from 'vitest';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import { replayed } from '../rig/replay.ts';
import { get, ok, said } from './replay-lines.ts';

/** Ethernet, IPv4 and TCP before the payload. */
const HEADERS = 54;

/** The conversation with the first `kept` bytes of each payload. */
const cutAll = (talk: Talk, kept: number): Buffer =>
  fileOf(talk.packets.map((packet) => ({ ...packet, snaplen: HEADERS + kept })));

/** What is said of two calls with this target when each packet has only the first `kept` bytes of its payload. */
async function cutTo(kept: number, target: string, method = 'GET', opened = true): Promise<string[]> {
  const t = new Talk();
  if (opened) t.open();
  t.client(get(target).replace('GET', method)).server(ok('abc'));
  t.client(get(target).replace('GET', method)).server(ok('abc')).close();
  return said(await replayed(cutAll(t, kept))).filter((text) => !text.startsWith('lost'));
}

const asked = (text: string): string => text.slice(0, text.indexOf(' >'));

describe('a request line that was cut', () => {
  test.each([
    ['in the path', 25, '/v1/items/1234567/parts?id=8', 'GET /v1/items/1234567/'],
    ['the target alone is whole', 33, '/v1/items/1234567/parts?id=8', 'GET /v1/items/1234567/parts?id=8'],
    ['in the version', 38, '/v1/items/1234567/parts?id=8', 'GET /v1/items/1234567/parts?id=8'],
    ['before the CR LF', 41, '/v1/items/1234567/parts?id=8', 'GET /v1/items/1234567/parts?id=8'],
    ['in a value', 28, '/search?q=apples&token=not-a-real-token', 'GET /search?q=apples&token='],
    ['in a name', 25, '/search?q=apples&token=not-a-real-token', 'GET /search?q=apples&'],
    ['in the user information', 24, 'http://user:not-a-real-one@host.example/path', 'GET http://'],
    ['in the host', 35, 'http://user:not-a-real-one@host.example/path', 'GET http://'],
  ])('%s', async (_name, kept, target, shown) => {
    for (const opened of [true, false]) {
      const lines = await cutTo(kept, target, 'GET', opened);
      expect(lines.map(asked)).toEqual([shown, shown]);
      for (const text of lines) expect(text).toMatch(/ > 200( 3)? truncated snaplen:\d+$/);
    }
  });

  test('any method, at any byte: two calls, each with its method, and never another target than the sent one begins with', async () => {
    for (const method of ['GET', 'POST', 'DELETE', 'OPTIONS', 'PATCH', 'HEAD']) {
      const target = '/a/b?c=d&e=f';
      for (let kept = `${method} /`.length; kept < `${method} ${target} HTTP/1.1\r\nHo`.length; kept++) {
        const lines = await cutTo(kept, target, method);
        // A shorter status line has no status yet.
        if (kept < 'HTTP/1.1 200 '.length) continue;
        expect(lines, `${method}, ${kept}`).toHaveLength(2);
        for (const text of lines) {
          const [is, shown = ''] = asked(text).split(' ');
          expect(is).toBe(method);
          expect(target.startsWith(shown)).toBe(true);
          expect(text).toMatch(/truncated snaplen:\d+$/);
        }
      }
    }
  });

  test('bytes of another protocol that begin with a word are no request', async () => {
    for (const text of ['RETR /file/of/ftp', 'GET key-of-memcached', 'OPTIONS sip:someone@host', 'MAIL FROM:<a@b>']) {
      const t = new Talk()
        .open()
        .client(`${text}${'x'.repeat(60)}\r\n`)
        .server('200 fine\r\n')
        .close();
      expect((await replayed(cutAll(t, 40))).exchanges).toEqual([]);
    }
  });

  test('only where the other side has spoken: a piece of a body that looks like one is none', async () => {
    const body = `${'b'.repeat(1_000)}GET /not/a/request/${'c'.repeat(200)}`;
    const t = new Talk().open();
    t.client(`POST /real HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4cf\r\n`);
    t.client(body.slice(0, 1_000), body.slice(1_000)).client('\r\n0\r\n\r\n').server(ok('abc')).close();
    const cut = t.packets.map((p, i) => (i === 4 || i === 5 ? { ...p, snaplen: HEADERS + 100 } : p));
    const { exchanges } = await replayed(fileOf(cut));
    expect(exchanges.map(({ request }) => request?.target)).toEqual(['/real']);
  });
});

test('a status line that was cut: the status is there', async () => {
  const t = new Talk().open().client(get('/1')).server(ok('abc')).close();
  const cut = t.packets.map((p) => (p.sport === 80 && p.payload ? { ...p, snaplen: HEADERS + 14 } : p));
  expect(said(await replayed(fileOf(cut)))[0]).toMatch(/^GET \/1 > 200 truncated snaplen:\d+$/);
});

test('a hole in the request line: what came before it', async () => {
  const t = new Talk().open();
  t.client('GET /v1/items/12', '34 HTTP/1.1\r\nHost: a\r\n\r\n').server(ok('abc')).client(get('/2')).server(ok('abc'));
  const { packets } = t.close();
  const lines = said(await replayed(fileOf(packets.filter((_, i) => i !== 4))));
  expect(lines.slice(0, 2)).toEqual(['GET /v1/items/ > 200 3 truncated gap:24', 'GET /2 > 200 3 complete']);
});

test('fields up to the cut, and no half of one', async () => {
  const t = new Talk().open();
  t.client('GET /1 HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nAuthorization: Bearer not-a-real-token\r\n\r\n')
    .server(ok(''))
    .close();
  const cut = t.packets.map((p) => (p.sport === 80 || !p.payload ? p : { ...p, snaplen: HEADERS + 60 }));
  const [exchange] = (await replayed(fileOf(cut))).exchanges;
  expect(exchange!.request!.headers).toEqual([
    ['Host', 'a'],
    ['X-One', '1'],
  ]);
  expect(exchange!.outcome).toBe('truncated');
});
