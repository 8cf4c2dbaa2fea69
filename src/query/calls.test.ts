import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { validLine } from '../../test/unit/log-schema.ts';
import { connectionOf, type ExchangeSpec, StoreRig } from '../../test/unit/store-rig.ts';
import { OUTCOMES } from '../model/exchange.ts';
import { TlsFacts } from '../model/tls.ts';
import type { StoreReader } from '../store/reader.ts';
import { type CallPage, type CallQuery, queryCalls } from './calls.ts';
import { compileFilter } from './filter.ts';
import { RecordSubject } from './record-subject.ts';

const CALLS = 400;
const folder = new Folder();
let rig: StoreRig;
let reader: StoreReader;

const pick = <T>(items: readonly T[]): fc.Arbitrary<T> => fc.constantFrom(...items);
const NAMES = ['Host', 'X-Request-Id', 'x-request-id', 'X-Empty', 'Accept', 'X-ü', 'X-\u00e9'];
const VALUES = ['a', 'b', '', 'a, b', 'it\'s "x"', 'caf\u00c3\u00a9', '\u00e9', '["x-request-id"', 'a.example', '\\'];
const TARGETS = [
  '/a',
  '/a?q=1',
  '/b/1',
  '*',
  'http://a.example/a',
  'http://a.example',
  'a.example:443',
  "/it's",
  '/\u00e9',
  '',
];
const METHODS = ['GET', 'POST', 'CONNECT', '', 'G\u00e9'];
const time = fc.oneof(
  { weight: 1, arbitrary: fc.constant(-1) },
  { weight: 5, arbitrary: fc.integer({ min: 0, max: 5_000_000_000 }) },
);
const pairs = fc.array(fc.tuple(pick(NAMES), pick(VALUES)), { maxLength: 5 });

const message = {
  headers: pairs,
  trailers: fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, { weight: 1, arbitrary: pairs }),
  headBytes: fc.nat(1_000),
  bodyBytes: fc.oneof(fc.nat(1_000), fc.constant(2 ** 40)),
  first: time,
  last: time,
};
const spec: fc.Arbitrary<ExchangeSpec> = fc
  .record({
    request: fc.oneof(
      { weight: 1, arbitrary: fc.constant(null) },
      { weight: 9, arbitrary: fc.record({ ...message, method: pick(METHODS), target: pick(TARGETS) }) },
    ),
    response: fc.oneof(
      { weight: 1, arbitrary: fc.constant(null) },
      {
        weight: 5,
        arbitrary: fc.record({ ...message, status: pick([200, 201, 404, 500]), reason: pick(['OK', '', '\u00e9']) }),
      },
    ),
    interim: pick([
      [],
      [
        {
          status: 103,
          at: 1_500,
          fields: [
            ['Link', '</a>'],
            ['X-\u00e9', 'b'],
          ] as const,
        },
      ],
    ]),
    outcome: pick(OUTCOMES),
    protocol: pick(['http/1.1', 'http/1.0'] as const),
    upgrade: pick(['', '', 'websocket']),
    inFlight: fc.nat(50),
    anomalies: pick([0, 0, 5]),
    losses: pick([[], [], [{ reason: 'gap', bytes: 10 }]] as const).map((losses) => [...losses]),
    route: pick(['/a', '/b/{id}', '', '/\u00e9']),
    grpc: pick([null, null, { status: 4, timeoutNs: 1_000, requestMessages: 1, responseMessages: null }]),
    connection: pick([0, 1, 2, 3, 4]).map((n) => {
      const connection = connectionOf();
      if (n === 1) connection.process = null;
      if (n === 2) connection.service = "o'clock";
      if (n < 3) return connection;
      const tls = Object.assign(new TlsFacts(), { version: n === 3 ? '1.3' : '1.2', cipher: 'TLS_AES_128_GCM_SHA256' });
      if (n === 3)
        Object.assign(tls, {
          sni: 'api.example',
          alpn: 'h2',
          resumed: true,
          ja4: 't13d1516h2_8daaf6152771_02713d6af862',
        });
      else Object.assign(tls, { sni: 'caf\u00c3\u00a9' });
      connection.tls = tls;
      return connection;
    }),
  })
  .map((one) => (one.grpc === null ? one : { ...one, upgrade: 'grpc' }));

beforeAll(async () => {
  rig = await new StoreRig(folder.file('data')).open();
  let ordinal = 0;
  for (const one of fc.sample(spec, { numRuns: CALLS, seed: 7 })) {
    rig.call({ ...one, ordinal: ++ordinal });
    if (ordinal % 90 === 0) await rig.tick(1_795_363_445_000 + ordinal * 40_000);
  }
  await rig.close();
  reader = await rig.read();
});
afterAll(() => {
  reader.close();
  folder[Symbol.dispose]();
});

const page = async (query: CallQuery): Promise<CallPage> => {
  const answer = await queryCalls(reader, query);
  if (!answer.ok) throw new Error(answer.error.message);
  return answer.value;
};
const newestFirst = () => [...rig.lines].reverse();

test('what is stored is the line of the header log, field by field', async () => {
  expect(reader.segments.length).toBeGreaterThan(2);
  const { calls, next } = await page({ limit: 10_000 });
  expect(next).toBeNull();
  expect(calls.map((call) => JSON.stringify(call))).toEqual(newestFirst().map((line) => JSON.stringify(line)));
  expect(
    calls.every((call) => validLine(call)),
    JSON.stringify(validLine.errors),
  ).toBe(true);
});

const text = pick(
  [...VALUES, ...TARGETS, ...METHODS, 'nginx', '127.0.0.1', 'caf\u00e9', '1.3', 'api.example'].map((t) =>
    JSON.stringify(t),
  ),
);
const texts = pick([
  'request.method',
  'request.path',
  'request.url_path',
  'request.query',
  'request.host',
  'request.scheme',
  'request.protocol',
  'source.address',
  'process.name',
  'route',
  'side',
  'service',
  'outcome',
  'request.headers["x-request-id"]',
  'request.headers.host',
  'response.headers["X-Empty"]',
  'response.headers["accept"]',
  'request.headers["x-ü"]',
  'connection.tls_version',
  'connection.requested_server_name',
]);
const ints = pick([
  'response.code',
  'request.total_size',
  'response.total_size',
  'response.grpc_status',
  'source.port',
  'destination.port',
  'process.pid',
]);
const leaf: fc.Arbitrary<string> = fc.oneof(
  fc.tuple(texts, pick(['==', '!=', '<', '>=']), text).map((p) => p.join(' ')),
  fc.tuple(text, pick(['==', '!=']), texts).map((p) => p.join(' ')),
  fc
    .tuple(
      texts,
      pick(['startsWith', 'endsWith', 'contains', 'matches']),
      pick(['"/"', '"a"', '""', '"xa"', '"1"', '"1."']),
    )
    .map(([a, f, b]) => `${a}.${f}(${b})`),
  fc
    .tuple(
      ints,
      pick(['==', '!=', '<', '<=', '>', '>=']),
      pick(['200', '404', '4', '0', '-1', '1000', '8080', '9223372036854775807']),
    )
    .map((p) => p.join(' ')),
  fc
    .tuple(
      pick(['duration', 'request.duration']),
      pick(['<', '>', '<=', '>=', '==', '!=']),
      pick(['"0s"', '"1ms"', '"2.5s"', '"-1s"']),
    )
    .map(([a, o, d]) => `${a} ${o} duration(${d})`),
  fc
    .tuple(pick(['==', '!=', '<', '<=', '>', '>=']), fc.integer({ min: 0, max: 5_001 }))
    .map(([o, ms]) => `request.time ${o} timestamp("${new Date(1_795_363_445_000 + ms).toISOString()}")`),
  fc
    .tuple(pick(['"host"', '"X-Request-Id"', '"x-empty"', '"none"', '"x-ü"']), pick(['request', 'response']))
    .map(([n, m]) => `${n} in ${m}.headers`),
  pick([
    'response.code in [200, 404]',
    'request.method in ["GET", ""]',
    'outcome in []',
    'has(request.headers.host)',
    'true',
    'false',
    'response.code > 200 ? true : side == "server"',
    'size(request.path) > 3',
    'size(request.headers.host) > 1',
    'request.headers["x-empty"] + request.headers.host == "ab"',
    'request.headers["x-request-id"] == request.headers.accept',
    '["/a", "/b/1"].exists(p, request.path == p)',
    '["x-request-id", "X-Empty"].all(n, n in request.headers)',
    '["host", "accept"].exists(n, request.headers[n] == "a, b")',
    '[request.path, request.host].exists(t, t.contains("a.ex"))',
    '["host"].exists(route, route == "/a")',
    '["a"].exists(x, ["b"].exists(x, request.headers.accept == x))',
    'request.headers.exists(n, ["a", "b"].exists(v, request.headers[n] == v))',
    'request.headers.exists(n, n.startsWith("x-") && request.headers[n] == "")',
    'request.headers.all(n, n != "host")',
    'request.headers.exists_one(n, n == "host")',
  ]),
  fc
    .tuple(
      pick(['request', 'response']),
      pick(['exists', 'all']),
      pick(['', '!']),
      pick([
        'n == "accept"',
        'n != "X-Empty"',
        'n.endsWith("-id")',
        'n.contains("-r")',
        'n.matches("^x-")',
        '#.headers[n] == "a, b"',
        '#.headers[n] != ""',
        '#.headers[n].contains("a,")',
        '#.headers[n].matches("^a.*le$")',
        'n == "host" || #.headers[n].startsWith("[")',
        'has(#.headers.host)',
      ]),
    )
    .map(([message, loop, not, asked]) => `${message}.headers.${loop}(n, ${not}(${asked.replaceAll('#', message)}))`),
  pick([
    'request.headers.host',
    'request.headers["x-request-id"]',
    'response.headers.accept',
    'response.code',
    'request.path',
    'process.pid',
  ]).map((attribute) => `has(${attribute})`),
  fc
    .tuple(
      texts,
      pick([
        'a, b',
        '^a',
        String.raw`a\.ex`,
        '^/b/[0-9]+$',
        '(exa|html)',
        'x?am+p',
        '^(/a|/b/).',
        'http://a',
        'q=1',
        '"x"',
        '\u00e9',
      ]),
    )
    .map(([text, pattern]) => `${text}.matches(${JSON.stringify(pattern)})`),
);
const filter: fc.Arbitrary<string> = fc.letrec<{ node: string }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    leaf,
    tie('node').map((a) => `!(${a})`),
    fc.tuple(tie('node'), pick(['&&', '||']), tie('node')).map(([a, o, b]) => `(${a} ${o} ${b})`),
  ),
})).node;

test('the same answer as the filter in memory, whatever the filter', async () => {
  let some = 0;
  await fc.assert(
    fc.asyncProperty(filter, async (cel) => {
      const compiled = compileFilter(cel);
      fc.pre(compiled.ok);
      const expected = newestFirst().filter((line) => compiled.filter.matches(new RecordSubject(line)));
      const { calls } = await page({ filter: cel, limit: 10_000 });
      expect(calls.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
      if (expected.length > 0 && expected.length < CALLS) some++;
    }),
    { numRuns: 200 },
  );
  // The property says nothing if every filter takes all or none.
  expect(some).toBeGreaterThan(25);
});

test('pages add up to the whole, in order, at any size', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 20, max: 150 }),
      pick([undefined, 'response.code == 200', 'request.query != "zz"']),
      async (limit, cel) => {
        const query = cel === undefined ? {} : { filter: cel };
        const all = await page({ ...query, limit: 10_000 });
        const ids: string[] = [];
        let cursor: string | null = null;
        do {
          const some: CallPage = await page({ ...query, limit, ...(cursor === null ? {} : { cursor }) });
          expect(some.calls.length).toBeLessThanOrEqual(limit);
          ids.push(...some.calls.map(({ id }) => id));
          cursor = some.next;
        } while (cursor !== null);
        expect(ids).toEqual(all.calls.map(({ id }) => id));
      },
    ),
    { numRuns: 8 },
  );
});

test('pages that end when their time is up add up to the same, and say how far they got', async () => {
  let early = 0;
  await fc.assert(
    fc.asyncProperty(filter, pick([0, 0, 0, 20]), fc.integer({ min: 5, max: 400 }), async (cel, pageMs, limit) => {
      fc.pre(compileFilter(cel).ok);
      const all = await page({ filter: cel, limit: 10_000 });
      expect([all.next, all.searched_until]).toEqual([null, null]);
      const ids: string[] = [];
      const bounds: string[] = [];
      let at = Number.POSITIVE_INFINITY;
      for (let cursor: string | null = ''; cursor !== null; ) {
        const some: CallPage = await page({ filter: cel, limit, pageMs, ...(cursor === '' ? {} : { cursor }) });
        expect(some.calls.length).toBeLessThanOrEqual(limit);
        for (const { ts } of some.calls) for (const until of bounds) expect(ts === null || ts <= until).toBe(true);
        ids.push(...some.calls.map(({ id }) => id));
        cursor = some.next;
        if (some.searched_until !== null) {
          bounds.push(some.searched_until);
          early++;
        } else if (some.calls.length < limit) expect(cursor).toBeNull();
        // Each page gets somewhere, so that there is a last one.
        if (cursor === null) break;
        expect(Number(cursor.slice(1))).toBeLessThan(at);
        at = Number(cursor.slice(1));
      }
      expect(ids).toEqual(all.calls.map(({ id }) => id));
    }),
    { numRuns: 25 },
  );
  // At 0 ms every page of a search through more than two segments ends so, however fast the machine is.
  expect(early).toBeGreaterThan(10);
});

test('a range takes its beginning and not its end', async () => {
  const since = 1_795_363_446_000_000_000n;
  const until = 1_795_363_448_500_000_000n;
  const { calls } = await page({ range: { since, until }, limit: 10_000 });
  const inside = newestFirst().filter(
    ({ ts }) => ts !== null && ts >= '2026-11-22T16:04:06.000000000Z' && ts < '2026-11-22T16:04:08.500000000Z',
  );
  expect(inside.length).toBeGreaterThan(10);
  expect(calls.map(({ id }) => id)).toEqual(inside.map(({ id }) => id));
});

describe('questions that have no answer', () => {
  const failure = async (query: CallQuery) => {
    const answer = await queryCalls(reader, query);
    return answer.ok ? null : answer.error;
  };
  test.each([
    [{ limit: 0 }, 'limit is 0'],
    [{ limit: 1.5 }, 'limit is 1.5'],
    [{ limit: 10_001 }, 'limit is 10001'],
    [{ cursor: 'x' }, '"x" is no cursor'],
    [{ range: { since: 2n, until: 1n } }, 'the range is empty'],
    [{ range: { since: 2n ** 70n, until: null } }, 'times reach from'],
  ] as [CallQuery, string][])('%#: $1', async (query, message) => {
    expect(await failure(query)).toMatchObject({ type: 'invalid', message: expect.stringContaining(message) });
  });
  test('a filter on an attribute that does not exist', async () => {
    expect(await failure({ filter: 'response.status == 1' })).toMatchObject({ type: 'filter', error: { column: 10 } });
  });
});
