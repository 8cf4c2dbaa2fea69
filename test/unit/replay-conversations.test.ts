/** Conversations as capture files, through the whole of `replay`: what the log says of each, line by line. */
import { describe, expect, test } from 'vitest';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import { type Replayed, type ReplayedExchange, replayed } from '../rig/replay.ts';

const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const ok = (body: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;

/** "GET /1 > 200 5 complete": body sizes where there are any, then what is wrong. */
function line({ request, response, outcome, anomalies, losses }: ReplayedExchange): string {
  const asked = request === null ? '-' : `${request.method} ${request.target}${size(request.body_bytes)}`;
  const answered = response === null ? '-' : `${response.status}${size(response.body_bytes)}`;
  const marks = [...(anomalies ?? []), ...losses.map(({ reason, bytes }) => `${reason}:${bytes}`)];
  return [asked, '>', answered, outcome, ...marks].join(' ');
}
const size = (bytes: number): string => (bytes === 0 ? '' : ` ${bytes}`);

const lines = ({ exchanges }: Replayed): string[] => exchanges.map(line);
const opened = (): Talk => new Talk().open();

describe('a connection whose opening was seen', () => {
  test('begins with its first byte: lines that end with LF alone are read', async () => {
    const talk = opened().client('GET / HTTP/1.1\nHost: a\n\n').server('HTTP/1.1 200 OK\nContent-Length: 2\n\nab');
    const said = await replayed(talk.close().bytes());
    expect(lines(said)).toEqual(['GET / > 200 2 complete bare_lf']);
    expect(said.summary.losses).toEqual([]);
  });

  test('and no byte of another protocol on it is a loss', async () => {
    const said = await replayed(
      opened().server('220 mail\r\n').client('EHLO x\r\n').server('250 x\r\n').close().bytes(),
    );
    expect(said.summary).toMatchObject({ segments: 3, bytes: 25, connections: 1, exchanges: 0, losses: [] });
    expect(said.notHttp.other).toBe(25);
  });
});

/** The capture without some of its packets (by their place; the handshake is 0, 1 and 2). */
const without = (talk: Talk, ...places: number[]): Promise<Replayed> =>
  replayed(fileOf(talk.packets.filter((_, i) => !places.includes(i))));
const lost = ({ summary }: Replayed): string => summary.losses.map((l) => `${l.reason}:${l.bytes}`).join(' ');
const lastTimes = ({ exchanges }: Replayed): (number | null)[] =>
  exchanges.map((e) => e.timing_ns.last_response_byte ?? e.timing_ns.last_request_byte);

describe('what is missing is said to the byte, on the exchange that misses it', () => {
  const upload = (): Talk =>
    opened()
      .client('POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\n')
      .client('x'.repeat(1_000), 'y'.repeat(1_000), 'z'.repeat(1_000))
      .server('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345', '67890')
      .client(get('/2'))
      .server(ok('abc'))
      .close();

  test.each<[string, number, string[], string]>([
    ['the head of a request', 3, ['- > 200 10 truncated gap:51', 'GET /2 > 200 3 complete'], 'gap:51 desync:3000'],
    ['a body', 4, ['POST /1 3000 > 200 10 truncated gap:1000', 'GET /2 > 200 3 complete'], 'gap:1000'],
    ['the end of a body', 6, ['POST /1 3000 > 200 10 truncated gap:1000', 'GET /2 > 200 3 complete'], 'gap:1000'],
    ['the head of a response', 7, ['POST /1 3000 > - truncated gap:44', 'GET /2 > 200 3 complete'], 'gap:44 desync:5'],
    ['the end of a response', 8, ['POST /1 3000 > 200 10 truncated gap:5', 'GET /2 > 200 3 complete'], 'gap:5'],
    ['a whole request', 9, ['POST /1 3000 > 200 10 complete', '- > 200 3 truncated gap:28'], 'gap:28'],
    ['a whole response', 10, ['POST /1 3000 > 200 10 complete', 'GET /2 > - truncated gap:41'], 'gap:41'],
  ])('%s', async (_, place, expected, summary) => {
    const said = await without(upload(), place);
    expect(lines(said)).toEqual(expected);
    expect(lost(said)).toBe(summary);
  });

  test('a gap that ends one body and hides the next message is shared among both', async () => {
    const talk = opened().client(get('/1')).server('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345', '67890');
    talk.client(get('/2')).server(ok('abc')).client(get('/3')).server(ok('x')).close();
    const said = await without(talk, 5, 7);
    expect(lines(said)).toEqual([
      'GET /1 > 200 10 truncated gap:5',
      'GET /2 > - truncated gap:41',
      'GET /3 > 200 1 complete',
    ]);
    expect(lost(said)).toBe('gap:46');
  });
});

describe('a time that was not seen is null', () => {
  const answer = 'HTTP/1.1 200 OK\r\n\r\nabc';

  test('the last byte came with the last data, not with the FIN or RST', async () => {
    const fin = await replayed(opened().client(get('/')).server(answer, 'defg').close('server').bytes());
    expect([...lines(fin), ...lastTimes(fin)]).toEqual(['GET / > 200 7 complete', 2_000_000]);
    const rst = await replayed(opened().client(get('/')).server(answer, 'defg').rst('server').bytes());
    expect([...lines(rst), ...lastTimes(rst)]).toEqual(['GET / > 200 7 reset_in_body', 2_000_000]);
  });

  test('the capture ended first', async () => {
    const said = await replayed(opened().client(get('/')).server(answer, 'defg').bytes());
    expect(lines(said)).toEqual(['GET / > 200 7 open']);
    expect(said.exchanges[0]!.timing_ns.last_response_byte).toBeNull();
  });

  test('the last byte was in a packet that was not captured', async () => {
    const talk = opened()
      .client(get('/'))
      .server('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345', '67890')
      .close();
    const said = await without(talk, 5);
    expect(lines(said)).toEqual(['GET / > 200 10 truncated gap:5']);
    expect(said.exchanges[0]!.timing_ns.last_response_byte).toBeNull();
  });
});

describe('a direction that contradicts itself is read again only where a message begins for certain, and later calls say so', () => {
  test.each<[string, Talk, string[]]>([
    [
      'a response: the next one begins where the client asked again',
      opened()
        .client(get('/1'))
        .server('HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nab')
        .client(get('/2'))
        .server(ok('x')),
      ['GET /1 > 200 protocol_error whitespace_before_colon', 'GET /2 > 200 1 complete'],
    ],
    [
      'bytes behind a response',
      opened()
        .client(get('/1'))
        .server(`${ok('x')}more`)
        .client(get('/2'))
        .server(ok('y')),
      [
        'GET /1 > 200 1 complete',
        '- > 0 protocol_error bad_start_line response_without_request',
        'GET /2 > - truncated desync:0',
      ],
    ],
    [
      'a request: the answers after it had requests',
      opened()
        .client(get('/1', 'Content-Length: x\r\n'))
        .server('HTTP/1.1 400 B\r\nContent-Length: 0\r\n\r\n')
        .client(get('/2'))
        .server(ok('y')),
      ['GET /1 > 400 protocol_error bad_content_length', '- > 200 1 truncated desync:0'],
    ],
  ])('%s', async (_, talk, expected) => {
    expect(lines(await replayed(talk.close('server').bytes()))).toEqual(expected);
  });
});

describe('of a request line that breaks the rules is shown what nobody reads differently', () => {
  test.each<[string, string, string]>([
    ['GET  /a HTTP/1.1', 'GET', '/a'],
    ['GET\t/a\tHTTP/1.1', 'GET', '/a'],
    ['POST /a http/1.1', 'POST', '/a'],
    ['DELETE /a?b=c HTTP/2.0', 'DELETE', '/a?b=c'],
    ['GET /a', 'GET', '/a'],
    ['GET /a HTTP/1.1 ', 'GET', '/a'],
    ['GET /a b HTTP/1.1', 'GET', ''],
    ['GET /a HTTP/1.1 x', 'GET', ''],
    ['GET /\x7f HTTP/1.1', 'GET', ''],
    ['GET http://user:word@host/a  HTTP/1.1', 'GET', ''],
    ['HEAD  /a HTTP/1.1', '', ''],
    ['get  /a HTTP/1.1', '', ''],
  ])('%s', async (line, method, target) => {
    const text = `${line}\r\nHost: a\r\n\r\n`;
    const refused = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno';
    for (const size of [text.length, 1]) {
      // Of a connection's first line it may not be known that it is HTTP at all.
      const talk = opened().client(get('/1')).server(ok('x')).split('client', text, size).server(refused);
      const said = await replayed(talk.close('server').bytes());
      expect(said.exchanges.map((x) => [x.outcome, x.response?.status, x.response?.body_bytes])).toEqual([
        ['complete', 200, 1],
        ['protocol_error', 400, 2],
      ]);
      const { request } = said.exchanges[1]!;
      expect([request?.method, request?.target]).toEqual([method, target]);
    }
  });
});

test('what frames or routes a message is marked where it stands in its trailers', async () => {
  for (const [trailer, anomalies] of [
    ['Content-Length: 3', ['forbidden_trailer']],
    ['transfer-encoding: chunked', ['forbidden_trailer']],
    ['Host: b', ['forbidden_trailer']],
    ['X-Sum: 3', undefined],
  ] as const) {
    const answer = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n${trailer}\r\n\r\n`;
    for (const size of [answer.length, 1]) {
      const said = await replayed(opened().client(get('/1')).split('server', answer, size).close('server').bytes());
      expect(said.exchanges.map((x) => [x.outcome, x.anomalies])).toEqual([['complete', anomalies]]);
    }
  }
});

describe('what lets two readers disagree is a protocol_error with its reason', () => {
  const post = (head: string, body: string): string => `POST / HTTP/1.1\r\nHost: a\r\n${head}\r\n${body}`;
  const chunked = 'Transfer-Encoding: chunked\r\n';
  test.each<[string, string, string]>([
    ['CL.TE', post(`Content-Length: 6\r\n${chunked}`, '0\r\n\r\nG'), 'content_length_and_transfer_encoding'],
    ['CL.CL', post('Content-Length: 6\r\nContent-Length: 5\r\n', '12345G'), 'differing_content_lengths'],
    ['a list of lengths', post('Content-Length: 5, 6\r\n', '12345'), 'differing_content_lengths'],
    ['a length with a sign', post('Content-Length: +5\r\n', '12345'), 'bad_content_length'],
    ['chunked twice', post(`${chunked}${chunked}`, '0\r\n\r\n'), 'transfer_encoding_not_chunked_last'],
    ['an obscure coding', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n'), 'transfer_encoding_not_chunked_last'],
    ['a space before the colon', post('Transfer-Encoding : chunked\r\n', '0\r\n\r\n'), 'whitespace_before_colon'],
    ['a chunk size with 0x', post(chunked, '0x5\r\n12345\r\n0\r\n\r\n'), 'bad_chunk_size'],
    ['a chunk longer than its size', post(chunked, '5\r\n12345X\r\n0\r\n\r\n'), 'bad_chunk_end'],
    ['a NUL', 'GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n', 'nul_byte'],
    ['two spaces', 'GET  / HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_start_line'],
    ['a space in the target', 'GET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_start_line'],
    ['tabs', 'GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n', 'bad_start_line'],
    ['a small version', 'GET / http/1.1\r\nHost: a\r\n\r\n', 'bad_start_line'],
    ['an unknown version', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 'bad_start_line'],
    ['a NUL in the first target', 'GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n', 'nul_byte'],
    ['a control byte in the first target', 'POST /\x01 HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_start_line'],
    ['a DEL in the first target', 'HEAD http://a/\x7f HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_start_line'],
    ['empty lines before it', '\r\n\r\nGET /a b HTTP/1.1\r\nHost: a\r\n\r\n', 'bad_start_line'],
    ['no version', 'GET /\r\n\r\n', 'bad_start_line'],
    ['a version of something else', 'GET / HTTPS/1.1\r\nHost: a\r\n\r\n', 'bad_start_line'],
  ])('%s', async (_, text, anomaly) => {
    const refused = 'HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n';
    for (const size of [text.length, 1]) {
      const said = await replayed(opened().split('client', text, size).server(refused).close('server').bytes());
      expect(said.exchanges.map((x) => [x.outcome, x.response?.status])).toEqual([['protocol_error', 400]]);
      expect(said.exchanges[0]!.anomalies).toContain(anomaly);
    }
  });

  test('a line without a version is no call where the server does not speak HTTP', async () => {
    for (const answer of ['$3\r\nabc\r\n', '<html>', 'HTTP/2 200 OK\r\n\r\n']) {
      const said = await replayed(opened().client('GET /key\r\n').server(answer).close('server').bytes());
      expect(said.exchanges).toEqual([]);
    }
  });
});
