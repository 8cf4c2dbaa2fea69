/** What the prose of conformance.test.ts does not show: gaps, joining, both directions, limits, times. */
import { expect, test } from 'vitest';
import { every, LogSink, latin1, run } from '../../../test/fuzz/h1-rig.ts';
import { crlf, Pair } from '../../../test/unit/h1-pair.ts';
import { Memory } from '../../base/memory.ts';
import { LossLedger } from '../../model/loss.ts';
import type { Message } from '../../model/message.ts';
import { MessagePool, POOL_BOUNDS } from '../../model/pool.ts';
import { H1Shared } from './shared.ts';
import { H1Stream } from './stream.ts';

const GET = 'GET /1 HTTP/1.1$Host: x$$';
const OK = 'HTTP/1.1 200 OK$Content-Length: 2$$ok';

test('left-out body bytes cost nothing, other ones are marked to the byte', () => {
  const head = crlf('HTTP/1.1 200 OK$Content-Length: 100$$');
  for (const [why, ended] of [
    ['left_out', 'end framed head=40 body=100 at=0-140'],
    ['gap', 'end framed head=40 body=100 at=0-140 -gap:90'],
  ] as const) {
    const shared = new H1Shared();
    const sink = new LogSink(shared, ['GET']);
    const losses = new LossLedger();
    const stream = new H1Stream('response', sink, shared, losses, 'opened');
    stream.data(Memory.from(head), 0, head.length, 0, 1, -1);
    stream.data(Memory.from(latin1('0123456789')), 0, 10, 40, 1, -1);
    stream.gap(50, 90, why, 7);
    expect(sink.log.at(-1)).toBe(ended);
    expect(losses.totals()).toEqual([]);
    expect(stream.state).toBe('start');
  }
});

interface GapCase {
  says: string;
  before: string;
  gap: number;
  end: string;
  window?: number;
}
const GAPS: GapCase[] = [
  { says: 'in a chunk', before: 'Transfer-Encoding: chunked$$64$', gap: 100, end: 'capture' },
  {
    says: 'past a length',
    before: 'Content-Length: 10$$01234',
    gap: 6,
    end: 'end lost head=39 body=10 at=0-49 -window:1',
    window: 1,
  },
  { says: 'in a head', before: 'A: b$Con', gap: 5, end: 'end lost head=26 body=0 at=0-31 -window:5', window: 5 },
  {
    says: 'in trailers',
    before: 'Transfer-Encoding: chunked$$0$A',
    gap: 5,
    end: 'end lost head=47 body=0 at=0-56 -window:5',
    window: 5,
  },
  { says: 'until the connection closes', before: '$', gap: 1_000, end: 'capture' },
];
for (const { says, before, gap, end, window } of GAPS) {
  test(`bytes left out ${says}`, () => {
    const bytes = crlf(`HTTP/1.1 200 OK$${before}`);
    const { log, losses, stream } = run('response', bytes, [], { methods: ['GET', 'GET'], end: null });
    stream.gap(bytes.length, gap, 'left_out', 3);
    if (end === 'capture') {
      expect(log.filter((line) => line.startsWith('end'))).toEqual([]);
      stream.end('capture_end', 4);
      expect(log.at(-1)).toMatch(new RegExp(`^end open .* body=${gap} `));
      expect(losses.totals()).toEqual([]);
      return;
    }
    expect(log.at(-1)).toBe(end);
    expect(losses.totals()).toEqual([{ reason: 'window', count: 1, bytes: window }]);
    expect(stream.state).toBe('seeking');
  });
}

test('after a gap: skips to a whole start line at the start of a segment', () => {
  const { log, losses, stream } = run('request', crlf('GET /0 HTTP/1.1$Host: x$$'), [], { end: null });
  stream.gap(28, 10, 'gap', 2);
  let position = 38;
  const send = (text: string): void => {
    const bytes = crlf(text);
    stream.data(Memory.from(bytes), 0, bytes.length, position, 3, -1);
    position += bytes.length;
  };
  send('tail$$GET /mid HTTP/1.1$Host: x$$');
  send('GET /half HTTP/1.1');
  send('$Host: x$$');
  send('GET /bad  HTTP/1.1$Host: x$$');
  send(' GET /bad HTTP/1.1$Host: x$$');
  send('GET bad HTTP/1.1$Host: x$$');
  send('HTTP/1.1 200 OK$$');
  expect(log.filter((line) => line.startsWith('head'))).toEqual(['head GET /0 1.1']);
  send('GET /1 HTTP/1.1$Ho');
  send('st: x$$');
  expect(log.slice(-3)).toEqual([
    'head GET /1 1.1',
    '  Host="x"',
    `end framed head=28 body=0 at=${position - 28}-${position}`,
  ]);
  expect(losses.totals()).toEqual([{ reason: 'desync', count: 7, bytes: position - 28 - 38 }]);
});

test('a lost head does not make a request of the body behind it', () => {
  const head = 'POST /p HTTP/1.1$Host: x$Content-Length: 33$$';
  const body = 'GET /evil HTTP/1.1$Host: x$$$';
  const pair = new Pair().client(GET).server(OK).clientLost(head).client(body).server(OK).client(GET).server(OK);
  expect(pair.log.filter((line) => line.startsWith('>'))).toEqual(['> GET /1 framed', '> GET /1 framed']);
});

test('a call whose segments came without bytes costs itself alone: its acknowledgements say where the next begins', () => {
  const pair = new Pair().client(GET).server(OK).clientCut(GET, 'shed_head').serverCut(OK, 'shed_head');
  pair.client('GET /3 HTTP/1.1$Host: x$$').server(OK);
  expect(pair.log).toEqual(['> GET /1 framed', '< 200 framed 2', '> GET /3 framed', '< 200 framed 2']);
  expect(pair.losses.totals()).toEqual([]);
  // The kernel has counted the call whose head it left out.
  expect(pair.shared.passed).toEqual({ request: 0, response: 0 });
});

const POST = 'POST /1 HTTP/1.1$Host: x$Content-Length: 9$$';

test('a message start that a body left out has hidden for certain is counted, once', () => {
  for (const why of ['shed_body', 'left_out'] as const) {
    const hidden = new Pair().client(POST).clientCut(`123456789${GET}`, why).server(OK).client(GET);
    expect(hidden.shared.passed).toEqual({ request: 1, response: 0 });
    const between = new Pair().client(GET).clientCut(GET, why);
    between.request.end('fin', 9);
    expect(between.shared.passed).toEqual({ request: 1, response: 0 });
  }
  const few = new Pair().client(POST).clientCut('123456789$', 'shed_body').server(OK).client(GET);
  expect(few.shared.passed).toEqual({ request: 0, response: 0 });
});

test('nor is one counted that the kernel has counted: its bytes belong to the same hole', () => {
  for (const why of ['ring_full', 'shed_head'] as const) {
    const pair = new Pair().client(GET).server(OK).clientCut(GET, 'shed_body').clientCut(GET, why).server(OK);
    pair.client(GET);
    expect(pair.shared.passed).toEqual({ request: 0, response: 0 });
  }
});

test('behind the head of a response to nobody knows what, missing bytes are not taken for its body', () => {
  for (const why of ['gap', 'ring_full', 'shed_head', 'snaplen'] as const) {
    const pair = new Pair().server(`HTTP/1.1 200 OK$Content-Length: 300$$`);
    pair.serverCut('x'.repeat(200), why).client(GET).server(OK);
    expect(pair.log).toEqual(['< 200 lost 0', '> GET /1 framed', '< 200 framed 2']);
  }
  const shed = new Pair().server('HTTP/1.1 200 OK$Content-Length: 300$$').serverCut('x'.repeat(300), 'shed_body');
  expect(shed.client(GET).server(OK).log).toEqual(['< 200 framed 300', '> GET /1 framed', '< 200 framed 2']);
});

test('a status line that may be the answer to nobody knows what, or be quoted by it, is counted as passed over', () => {
  const pair = new Pair().client(GET).server(OK).clientLost(GET).server('HTTP/1.1 200 OK$Content-Length: 41$$');
  pair.server(OK).client(GET).server(OK);
  expect(pair.log.slice(2)).toEqual(['< 200 lost 0', '> GET /1 framed', '< 200 framed 2']);
  expect(pair.shared.passed).toEqual({ request: 0, response: 1 });
});

test('a lost piece of a chunked response does not make a response of what its body quotes', () => {
  const pair = new Pair()
    .client(GET)
    .server('HTTP/1.1 200 OK$Transfer-Encoding: chunked$$')
    .serverLost('33$')
    .server('HTTP/1.1 500 Evil$Content-Length: 0$$xxxxxxxxxxx$0$$')
    .client(GET)
    .server(OK);
  expect(pair.log).toEqual(['> GET /1 framed', '< 200 lost 0', '> GET /1 framed', '< 200 framed 2']);
});

test('an interim response is no turn: the body behind it is none', () => {
  const pair = new Pair()
    .client(GET)
    .server(OK)
    .clientLost('POST /p HTTP/1.1$Host: x$Expect: 100-continue$Content-Length: 31$$')
    .server('HTTP/1.1 100 Continue$$')
    .client('GET /evil HTTP/1.1$Host: x$$')
    .server(OK)
    .client(GET);
  expect(pair.log.filter((line) => line.startsWith('>'))).toEqual(['> GET /1 framed', '> GET /1 framed']);
});

test('joined midstream: from the next message on, and the bytes before are counted', () => {
  const pair = new Pair('joined').server('rest of a body').client(GET).server(OK);
  expect(pair.log).toEqual(['> GET /1 framed', '< 200 framed 2']);
  expect(pair.losses.totals()).toEqual([{ reason: 'joined_midstream', count: 1, bytes: 14 }]);
});

test('joined in a body: what it quotes is no request until the other side has spoken', () => {
  const pair = new Pair('joined').client('of a body').client(GET).client(GET).server(OK).client(GET).server(OK);
  expect(pair.log).toEqual(['< 200 framed 2', '> GET /1 framed', '< 200 framed 2']);
});

test('one direction alone: acknowledgements tell where the other side spoke', () => {
  const get = crlf(GET);
  for (const [acks, seen] of [
    // One more is passed over, because it may be the second of its burst.
    [[0, 38, 76, 114], 2],
    [[-1, -1, -1, -1], 3],
    [[0, 0, 0, 0], 1],
  ] as const) {
    const shared = new H1Shared();
    const sink = new LogSink(shared);
    const stream = new H1Stream('request', sink, shared, new LossLedger(), 'opened');
    H1Stream.pair(stream, new H1Stream('response', sink, shared, new LossLedger(), 'opened'));
    let position = 0;
    acks.forEach((ack, i) => {
      if (i === 1) stream.gap(position, get.length, 'gap', i);
      else stream.data(Memory.from(get), 0, get.length, position, i, ack);
      position += get.length;
    });
    expect(sink.log.filter((line) => line.startsWith('head'))).toHaveLength(seen);
  }
});

test('a head of 64 KiB is read, one over the limit is lost; the next message is found', () => {
  const value = 'v'.repeat(1_000);
  const lines = (n: number): string => Array.from({ length: n }, (_, i) => `X-${i}: ${value}$`).join('');
  const big = crlf(`GET /big HTTP/1.1$Host: x$${lines(64)}$`);
  for (const size of [1, 1_448, 65_000]) {
    const { log } = run('request', big, every(size, big.length));
    expect(log[1]!.length).toBeGreaterThan(64_000);
    expect(log.at(-1)).toBe(`end framed head=${big.length} body=0 at=0-${big.length}`);
  }
  const over = Buffer.concat([crlf(`GET /big HTTP/1.1$Host: x$${lines(140)}$`), crlf(GET)]);
  const cut = over.length - crlf(GET).length;
  for (const cuts of [[cut], [...every(1_448, cut), cut]]) {
    const { log, losses, shared } = run('request', over, cuts);
    const ends = log.filter((line) => line.startsWith('end'));
    expect(ends[0]).toBe('end lost head=131072 body=0 at=0-131072 -head_too_large:131072');
    expect(ends[1]).toMatch(/^end framed head=28 /);
    expect(losses.totals().map((t) => [t.reason, t.bytes])).toEqual([
      ['head_too_large', 131_072],
      ['desync', cut - 131_072],
    ]);
    expect(shared.pool.largeBytes).toBe(0);
  }
});

test('half-sent heads of all connections share one bound', () => {
  const pool = new MessagePool({ ...POOL_BOUNDS, largeBytes: 100_000 });
  const shared = new H1Shared(undefined, undefined, pool);
  const losses = new LossLedger();
  const sink = new LogSink(shared);
  const part = crlf(`GET / HTTP/1.1$Host: x$${'A: b$'.repeat(2_000)}`);
  const streams = Array.from({ length: 50 }, () => new H1Stream('request', sink, shared, losses, 'opened'));
  for (const stream of streams) stream.data(Memory.from(part), 0, part.length, 0, 1, -1);
  expect(pool.largeBytes).toBeLessThanOrEqual(100_000);
  expect(losses.totals()[0]!.reason).toBe('reassembly_limit');
  for (const stream of streams) stream.end('rst', 2);
  expect(pool.largeBytes).toBe(0);
  expect(pool.taken).toBe(0);
});

test('times, offsets and acknowledgements are those of the segments that carried the bytes', () => {
  const seen: Array<Record<string, number>> = [];
  const shared = new H1Shared();
  const sink = {
    head: (): void => {},
    interim: (): void => {},
    end: (m: Message): void => {
      const { firstByteAt, lastByteAt, startOffset, endOffset, ackOffset } = m;
      seen.push({ firstByteAt, lastByteAt, startOffset, endOffset, ackOffset });
    },
    requestFor: (): null => null,
  };
  const stream = new H1Stream('request', sink, shared, new LossLedger(), 'opened');
  const parts = ['POST / HTT', 'P/1.1$Host: x$Content-Length: 3$', '$a', 'bcGE', 'T / HTTP/1.1$Host: x$$'];
  let position = 1_000;
  parts.map(crlf).forEach((bytes, i) => {
    stream.data(Memory.from(bytes), 0, bytes.length, position, i * 10, i * 100);
    position += bytes.length;
  });
  expect(seen).toEqual([
    { firstByteAt: 0, lastByteAt: 30, startOffset: 1_000, endOffset: 1_050, ackOffset: 0 },
    { firstByteAt: 30, lastByteAt: 40, startOffset: 1_050, endOffset: position, ackOffset: 300 },
  ]);
});

test.each([
  ['rst', 'rst', ''],
  ['capture_end', 'open', ''],
  ['evicted', 'lost', ' -connection_limit:0'],
  ['vanished', 'lost', ' -end_unseen:0'],
] as const)('a stream that ends by %s in a body', (how, end, mark) => {
  const { log } = run('request', crlf('POST / HTTP/1.1$Host: x$Content-Length: 3$$a'), [], { end: how });
  expect(log.at(-1)).toBe(`end ${end} head=47 body=1 at=0-48${mark}`);
});

const PUT_CHUNKED = 'PUT /0 HTTP/1.1$Host: x$Expect: 100-continue$Transfer-Encoding: chunked$$';
const REFUSED = 'HTTP/1.1 417 No$Content-Length: 0$$';
const BEHIND: Array<[says: string, bytes: string, log: string[]]> = [
  ['the next request', GET, ['short', '> GET /1 framed']],
  ['requests in one burst', GET + GET, ['short', '> GET /1 framed', '> GET /1 framed']],
  ['a method of hexadecimal digits', GET.replace('GET', 'ADD'), ['short', '> ADD /1 framed']],
  ['one digit for a method', GET.replace('GET', 'A'), ['short', '> A /1 framed']],
  ['an absolute target', GET.replace('/1', 'http://x/1'), ['short', '> GET http://x/1 framed']],
  ['OPTIONS *', 'OPTIONS * HTTP/1.1$Host: x$$', ['short', '> OPTIONS * framed']],
  ['CONNECT', 'CONNECT c:1 HTTP/1.1$Host: c:1$$', ['short', '> CONNECT c:1 framed']],
  ['an empty line and the next request', `$${GET}`, ['short', '> GET /1 framed']],
  ['the same request', PUT_CHUNKED, ['short']],
  ['the body', `5$hello$0$$${GET}`, ['framed', '> GET /1 framed']],
  ['the body, its size like a method', `ADD;/ HTTP/1.1$${'b'.repeat(0xadd)}$0$$${GET}`, ['framed', '> GET /1 framed']],
  ['a body with blanks before its extension', `a  ;b$${'b'.repeat(10)}$0$$${GET}`, ['framed', '> GET /1 framed']],
  ['an empty body', `0$$${GET}`, ['framed', '> GET /1 framed']],
  ['a body without chunks', 'hello, world', ['error']],
  ['a digit and words', '1 of many', ['error']],
  ['another protocol', '\x16\x03\x01\x02', ['error']],
  ['an empty line and a chunk', '$5$hello$0$$', ['error']],
];

test.each(BEHIND)('behind a chunked request that was refused comes %s, however it is cut', (_says, bytes, log) => {
  const [put, ...rest] = log;
  for (let size = 1; size <= Math.min(bytes.length, 120); size++) {
    const pair = new Pair().client(PUT_CHUNKED).server(REFUSED);
    for (const piece of crlf(bytes).length > size ? pieces(bytes, size) : [bytes]) pair.client(piece);
    expect(pair.log, `in pieces of ${size}`).toEqual(['< 417 framed 0', `> PUT /0 ${put}`, ...rest]);
  }
});

/** Of text in which `$` is two bytes, `size` bytes each. */
function pieces(text: string, size: number): string[] {
  const bytes = Buffer.from(crlf(text)).toString('latin1');
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size));
}

test.each(['Transfer-Encoding: chunked', 'Content-Length: 28'])(
  'behind 100 Continue the body comes, with %s',
  (framing) => {
    const pair = new Pair().client(`PUT /0 HTTP/1.1$Host: x$Expect: 100-continue$${framing}$$`);
    pair.server('HTTP/1.1 100 Continue$$').server(REFUSED).client(GET);
    expect(pair.log).toEqual(['< 417 framed 0', `> PUT /0 ${framing.startsWith('T') ? 'error' : 'framed'}`]);
  },
);

test('another interim response asks for no body', () => {
  const pair = new Pair().client(PUT_CHUNKED).server('HTTP/1.1 103 Early Hints$$').server(REFUSED).client(GET);
  expect(pair.log).toEqual(['< 417 framed 0', '> PUT /0 short', '> GET /1 framed']);
});

test('bytes missing behind a refusal may be a body or a request: the request is marked, the next one is read', () => {
  for (const framing of ['Transfer-Encoding: chunked', 'Content-Length: 500']) {
    for (const before of ['', 'AD']) {
      const pair = new Pair().client(`PUT /0 HTTP/1.1$Host: x$Expect: 100-continue$${framing}$$`).server(REFUSED);
      if (before !== '' && framing.startsWith('T')) pair.client(before);
      pair.clientLost(GET).server(OK).client(GET).server(OK);
      expect(pair.log.filter((line) => line.startsWith('>'))).toEqual(['> PUT /0 lost', '> GET /1 framed']);
    }
  }
});

test.each(['fin', 'rst', 'capture_end'] as const)('a refusal, the beginning of the next request, and %s', (how) => {
  for (const [bytes, end, lost] of [
    ['GE', 'short', 2],
    ['', how === 'rst' ? 'rst' : how === 'fin' ? 'short' : 'open', 0],
    ['$', 'short', 0],
  ] as const) {
    const pair = new Pair().client(PUT_CHUNKED).server(REFUSED);
    if (bytes !== '') pair.client(bytes);
    pair.request.end(how, 9);
    expect(pair.log, bytes).toEqual(['< 417 framed 0', `> PUT /0 ${end}`]);
    expect(pair.losses.totals().reduce((n, loss) => n + loss.bytes, 0)).toBe(lost);
  }
});
