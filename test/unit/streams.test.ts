/** WebSocket, event streams and gRPC-Web through the whole pipeline: what the header log says. */
import { describe, expect, test } from 'vitest';
import { Talk } from '../fixtures/pcap/talk.ts';
import * as w from '../rig/h2/wire.ts';
import { type Replayed, type ReplayedExchange, replayed } from '../rig/replay.ts';
import { closing, frame, KEY, OP } from '../rig/websocket.ts';

const ASK = 'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n';
const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n';
const MASK = { mask: KEY };
const crlf = (text: string): Buffer => Buffer.from(text.replaceAll('\n', '\r\n'), 'latin1');
const talk = (): Talk => new Talk().open();
const summaryLosses = ({ summary }: Replayed): string[] => summary.losses.map((l) => `${l.reason}:${l.bytes}`);

describe('WebSocket in HTTP/1', () => {
  const session = (): Talk =>
    talk()
      .client(ASK)
      .server(Buffer.concat([Buffer.from(SWITCH), frame(OP.text, 'welcome')]))
      .client(frame(OP.text, 'hi', MASK), frame(OP.ping, 'p', MASK))
      .server(frame(OP.pong, 'p'), frame(OP.binary, Buffer.alloc(3_000), { deflated: true }))
      .wait(5_000_000n);

  test('a line of its own, that names its handshake', async () => {
    const log = await replayed(
      session()
        .client(closing(1_000, 'bye', KEY))
        .server(closing(1_000))
        .close('server')
        .bytes(),
    );
    expect(log.exchanges).toMatchObject([{ outcome: 'upgraded', upgrade: 'websocket', losses: [] }]);
    expect(log.websockets).toEqual([
      {
        type: 'websocket',
        exchange: log.exchanges[0]!.id,
        ts: expect.any(String),
        connection: log.exchanges[0]!.connection,
        side: 'unknown',
        service: expect.stringMatching(/^\S+:\d+$/),
        end: 'closed',
        closed_by: 'client',
        duration_ns: 13_000_000,
        from_client: {
          messages: { text: 1, binary: 0, compressed: 0 },
          bytes: { text: 2, binary: 0, control: 6, unread: 0 },
          frames: 3,
          masked: 3,
          pings: 1,
          pongs: 0,
          close: { code: 1_000, reason_bytes: 3 },
          first_ns: 1_000_000,
          last_ns: 1_000_000,
        },
        from_server: {
          messages: { text: 1, binary: 1, compressed: 1 },
          bytes: { text: 7, binary: 3_000, control: 3, unread: 0 },
          frames: 4,
          masked: 0,
          pings: 0,
          pongs: 1,
          close: { code: 1_000, reason_bytes: 0 },
          first_ns: 0,
          last_ns: 4_000_000,
        },
        losses: [],
      },
    ]);
    expect(log.notHttp.switched).toBe(0);
    expect(summaryLosses(log)).toEqual([]);
  });

  test.each([
    ['the connection closed without a Close', (t: Talk) => t.close(), 'cut', null],
    ['a Close of one end', (t: Talk) => t.server(closing(1_001)).close('server'), 'closed', 'server'],
    ['reset', (t: Talk) => t.rst('client'), 'reset', null],
    ['the capture ended', (t: Talk) => t, 'open', null],
  ])('%s', async (_, ending, end, closedBy) => {
    const { websockets } = await replayed(ending(session()).bytes());
    expect(websockets).toMatchObject([{ end, closed_by: closedBy, from_client: { messages: { text: 1 } } }]);
  });

  test('frames that came before the switch was known', async () => {
    const early = talk()
      .client(ASK, frame(OP.text, 'early', MASK))
      .server(SWITCH)
      .client(frame(OP.text, 'x', MASK));
    const log = await replayed(early.close().bytes());
    expect(log.websockets).toMatchObject([{ from_client: { messages: { text: 2 }, bytes: { text: 6, unread: 0 } } }]);
  });

  test('bytes that are no frames: the reading ends, nothing is lost', async () => {
    const log = await replayed(session().client('GET / HTTP/1.1\r\n\r\n').close().bytes());
    expect(log.websockets).toMatchObject([{ from_client: { violation: true, bytes: { unread: 18 } }, losses: [] }]);
    expect(summaryLosses(log)).toEqual([]);
  });

  test('a lost segment', async () => {
    const t = session();
    const big = frame(OP.binary, Buffer.alloc(2_000));
    t.server(big.subarray(0, 1_000), big.subarray(1_000));
    const lost = t.packets.pop()!;
    t.server(Buffer.concat([frame(OP.text, 'a'), frame(OP.text, 'b')])).close();
    const log = await replayed(t.bytes());
    expect(log.websockets).toMatchObject([
      { from_server: { messages: { text: 3, binary: 2 } }, losses: [{ reason: 'gap', bytes: lost.payload!.length }] },
    ]);
  });

  test('closed after a hole that hides where frames begin: whether by a Close is not known', async () => {
    const t = session();
    t.client(frame(OP.text, 'lost', MASK));
    t.packets.pop();
    // One frame alone is none for certain.
    const log = await replayed(
      t
        .client(closing(1_000, 'bye', KEY))
        .close()
        .bytes(),
    );
    expect(log.websockets).toMatchObject([{ end: 'lost', closed_by: null, from_client: { close: null } }]);
  });

  test('another protocol has no such line', async () => {
    const other = talk()
      .client(ASK.replace('websocket', 'foo'))
      .server(SWITCH.replace('WebSocket', 'foo'))
      .client('xx');
    const log = await replayed(other.close().bytes());
    expect(log.websockets).toEqual([]);
    expect(log.notHttp.switched).toBe(2);
  });
});

const STREAM = 'HTTP/1.1 200 OK\nContent-Type: text/event-stream; charset=utf-8\nTransfer-Encoding: chunked\n';
const chunk = (text: string): string => `${text.length.toString(16)}\r\n${text}\r\n`;
const streamsOf = async (t: Talk): Promise<unknown[]> => (await replayed(t.bytes())).exchanges.map((x) => x.stream);
const asked = (): Talk => talk().client(crlf('POST /v1/chat HTTP/1.1\nHost: a\nContent-Length: 2\n\n{}'));

describe('event streams in HTTP/1', () => {
  test('chunked: times from the first request byte, comments do not count', async () => {
    const t = asked()
      .wait(9_000_000n)
      .server(crlf(`${STREAM}\n`), chunk(': ping\n\n'), chunk('data: {"a":1}\n\n'))
      .wait(49_000_000n)
      .server(chunk('data: {"a"'), chunk(':2}\n\ndata: [DONE]\n\n'), '0\r\n\r\n')
      .close();
    expect(await streamsOf(t)).toEqual([
      { kind: 'sse', events: 3, first_ns: 12_000_000, last_ns: 63_000_000, max_gap_ns: 51_000_000 },
    ]);
  });

  test.each([
    ['until the connection ends', 'Content-Type: TEXT/EVENT-STREAM\n\ndata: 1\n\n', { kind: 'sse', events: 1 }],
    ['with a length', 'Content-Type: text/event-stream\nContent-Length: 9\n\ndata: 1\n\n', { kind: 'sse', events: 1 }],
    ['application/x-ndjson', 'Content-Type: application/x-ndjson\n\n{}\n{}\n{}', { kind: 'ndjson', events: 3 }],
    ['application/jsonl', 'Content-Type: application/jsonl;x=y\n\n{}\n', { kind: 'ndjson', events: 1 }],
    [
      'compressed',
      'Content-Type: text/event-stream\nContent-Encoding: gzip\n\n\x1f\x8b',
      { kind: 'sse', events: null, first_ns: null, last_ns: null, max_gap_ns: null },
    ],
    ['application/json', 'Content-Type: application/json\n\n{}\n', undefined],
    ['application/jsonpatch', 'Content-Type: application/json-patch+json\n\n{}\n', undefined],
    ['text/event-streams', 'Content-Type: text/event-streams\n\ndata: 1\n\n', undefined],
    ['no type', '\ndata: 1\n\n', undefined],
  ])('%s', async (_, text, wanted) => {
    const at = text.indexOf('\n\n') + 2;
    const head = text.startsWith('\n') ? '\n' : text.slice(0, at);
    const body = Buffer.from(text.slice(head.length), 'latin1');
    const [stream] = await streamsOf(
      asked()
        .server(Buffer.concat([crlf(`HTTP/1.1 200 OK\n${head}`), body]))
        .close('server'),
    );
    if (wanted === undefined) expect(stream).toBe(undefined);
    else expect(stream).toMatchObject(wanted);
  });

  test('a lost segment in a chunk: the rest is counted, and marked', async () => {
    const t = asked().server(crlf(`${STREAM}\n`), '1e\r\ndata: 1\n\n', 'data: 2\n\n');
    t.packets.pop();
    t.server('data: 333\n\n\n\r\n0\r\n\r\n').close();
    const log = await replayed(t.bytes());
    expect(log.exchanges).toMatchObject([
      { stream: { events: 1, max_gap_ns: null, partial: true }, losses: [{ reason: 'gap', bytes: 9 }] },
    ]);
  });
});

/** HTTP/2: what the client and the server send, after the preface. */
function h2(ask: Buffer[], answer: Buffer[][]): Talk {
  const t = talk().client(Buffer.concat([w.PREFACE, w.settings(), ...ask]));
  for (const frames of answer) t.server(Buffer.concat(frames));
  return t;
}
const piece = (bytes: Buffer, flags = 0): Buffer => w.frame(w.TYPE.data, flags, 1, bytes);
const fields = (method: string, path: string, ...more: w.Pair[]): w.Pair[] => [
  [':method', method],
  [':scheme', 'http'],
  [':authority', 'a'],
  [':path', path],
  ...more,
];

describe('HTTP/2', () => {
  test('server-sent events in DATA', async () => {
    const client = new w.Encoder();
    const server = new w.Encoder(false);
    const ask = [w.headers(1, client.block(fields('GET', '/events')), true)];
    const t = h2(ask, [
      [
        w.settings(),
        w.headers(
          1,
          server.block([
            [':status', '200'],
            ['content-type', 'text/event-stream'],
          ]),
          false,
        ),
      ],
      [w.data(1, 'data: 1\n\nda', false, 4)],
      [w.data(1, 'ta: 2\n\n', true)],
    ]);
    expect(await streamsOf(t.close())).toMatchObject([{ kind: 'sse', events: 2, max_gap_ns: 1_000_000 }]);
  });

  test('WebSocket by extended CONNECT: the call, then its session', async () => {
    const client = new w.Encoder();
    const server = new w.Encoder(false);
    const connect = fields('CONNECT', '/chat', [':protocol', 'websocket']);
    const t = h2(
      [w.headers(1, client.block(connect), false), w.headers(3, client.block(connect), false)],
      [
        [
          w.settings([8, 1]),
          w.headers(1, server.block([[':status', '200']]), false),
          w.headers(3, server.block([[':status', '403']]), true),
        ],
      ],
    );
    t.client(piece(frame(OP.text, 'hello', MASK)));
    t.server(piece(frame(OP.text, 'yes')));
    t.client(piece(closing(1_000, '', KEY), w.END_STREAM), w.rst(3, 0));
    t.server(piece(closing(1_000), w.END_STREAM));
    const log = await replayed(t.close().bytes());
    const call = (id: number): ReplayedExchange => log.exchanges.find((x) => x.stream_id === id)!;
    expect(call(1)).toMatchObject({ outcome: 'upgraded', upgrade: 'websocket' });
    expect(call(3)).toMatchObject({ response: { status: 403 } });
    expect(log.websockets).toMatchObject([
      {
        exchange: call(1).id,
        end: 'closed',
        closed_by: 'client',
        from_client: { messages: { text: 1 }, masked: 2, close: { code: 1_000, reason_bytes: 0 } },
        from_server: { messages: { text: 1 }, masked: 0, close: { code: 1_000, reason_bytes: 0 } },
        losses: [],
      },
    ]);
  });
});

describe('gRPC-Web', () => {
  const trailers = 'grpc-status: 5\r\n';
  const body = `\0\0\0\0\x03abc\x80\0\0\0${String.fromCharCode(trailers.length)}${trailers}`;
  const call = (type: string, text: string): Talk =>
    talk()
      .client(
        crlf(
          `POST /pkg.Users/Get HTTP/1.1\nHost: a\nContent-Type: ${type}\nGrpc-Timeout: 1S\nContent-Length: 5\n\n\0\0\0\0\0`,
        ),
      )
      .server(crlf(`HTTP/1.1 200 OK\nContent-Type: ${type}\nTransfer-Encoding: chunked\n\n`), chunk(text), '0\r\n\r\n')
      .close();

  test.each([
    ['application/grpc-web+proto', body, body.length],
    ['application/grpc-web-text', Buffer.from(body, 'latin1').toString('base64'), 40],
  ])('%s in HTTP/1: status from the body', async (type, text) => {
    const request = type.includes('text') ? null : 1;
    const log = await replayed(call(type, text).bytes());
    expect(log.exchanges).toMatchObject([
      {
        protocol: 'http/1.1',
        upgrade: 'grpc-web',
        route: '/pkg.Users/Get',
        outcome: 'complete',
        grpc: { status: 5, timeout_ns: 1e9, response_messages: 1, request_messages: request },
      },
    ]);
  });

  test('the status of a response without a body is in its head', async () => {
    const t = talk()
      .client(
        crlf(
          'POST /pkg.Users/Get HTTP/1.1\nHost: a\nContent-Type: application/grpc-web\nContent-Length: 5\n\n\0\0\0\0\0',
        ),
      )
      .server(crlf('HTTP/1.1 200 OK\nContent-Type: application/grpc-web\nGrpc-Status: 12\nContent-Length: 0\n\n'))
      .close();
    const { exchanges } = await replayed(t.bytes());
    expect(exchanges).toMatchObject([
      { upgrade: 'grpc-web', grpc: { status: 12, response_messages: 0 }, route: 'other' },
    ]);
  });

  test('gRPC itself is not spoken over HTTP/1', async () => {
    const { exchanges } = await replayed(call('application/grpc', body).bytes());
    expect(exchanges[0]).not.toHaveProperty('grpc');
  });
});
