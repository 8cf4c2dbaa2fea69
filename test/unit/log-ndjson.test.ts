import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { UNSEEN } from '../../src/base/clock.ts';
import { NdjsonFormat } from '../../src/export/log/ndjson.ts';
import { HeaderSelection } from '../../src/export/log/selection.ts';
import { OUTCOMES } from '../../src/model/exchange.ts';
import { LOSS_REASONS } from '../../src/model/loss.ts';
import { ANOMALIES, ANOMALY_BIT } from '../../src/model/message.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { connectionOf, type ExchangeSpec, exchangeOf, id, ndjson, policy, time } from './log-rig.ts';
import { validLine } from './log-schema.ts';

const redact = redactor(policy());
const format = ndjson();

// biome-ignore lint/suspicious/noExplicitAny: a parsed line of any shape
function line(spec: ExchangeSpec, by = format): any {
  const text = by.exchange(redact(exchangeOf(spec)));
  expect(text.endsWith('\n')).toBe(true);
  expect(text.slice(0, -1)).toMatch(/^[\x20-\x7e]*$/);
  const record = JSON.parse(text);
  expect(validLine(record), JSON.stringify(validLine.errors)).toBe(true);
  return record;
}

describe('an exchange line', () => {
  test('is what the contract shows', () => {
    const record = line({
      route: '/v1/users/{id}',
      inFlight: 3,
      request: {
        target: '/v1/users/7?x=1',
        headBytes: 91,
        headers: [
          ['Host', 'api.example'],
          ['Authorization', 'Bearer sk-proj-0123456789abcdef'],
        ],
      },
      response: { headers: [['Content-Type', 'application/json']], headBytes: 80, bodyBytes: 512 },
    });
    expect(record).toEqual({
      type: 'exchange',
      id: 'r-7-1',
      ts: '2026-11-22T16:04:05.000001000Z',
      protocol: 'http/1.1',
      side: 'server',
      service: 'nginx.service',
      connection: 'r-7',
      process: { pid: 1, name: 'nginx', cgroup: '/system.slice/nginx.service', evidence: 'writer' },
      client: { address: '127.0.0.1', port: 40_000 },
      server: { address: '127.0.0.1', port: 8080 },
      route: '/v1/users/{id}',
      request: {
        method: 'GET',
        target: '/v1/users/7?x=1',
        scheme: 'http',
        authority: 'api.example',
        headers: [
          ['Host', 'api.example'],
          ['Authorization', expect.stringMatching(/^Bearer sk-proj-\[fp:[0-9a-f]{16}\]$/)],
        ],
        trailers: [],
        head_bytes: 91,
        body_bytes: 0,
      },
      response: {
        status: 200,
        reason: 'OK',
        headers: [['Content-Type', 'application/json']],
        trailers: [],
        head_bytes: 80,
        body_bytes: 512,
        interim: [],
      },
      outcome: 'complete',
      timing_ns: {
        first_request_byte: 0,
        last_request_byte: 12_000,
        first_response_byte: 1_800_000,
        last_response_byte: 1_900_000,
      },
      in_flight: 3,
      losses: [],
    });
  });

  test('keeps order, duplicates and case, and says the same when a shared line is printed from its cache', () => {
    const headers = [
      ['X-b', '1'],
      ['x-A', '2'],
      ['X-B', '1'],
      ['x-b', ''],
    ] as const;
    const x = exchangeOf({ request: { headers } });
    const first = format.exchange(redact(x));
    expect(format.exchange(redact(x))).toBe(first);
    expect(JSON.parse(first).request.headers).toEqual(headers);
  });

  test('a missing request or response is null, and times count from the first byte seen', () => {
    const noRequest = line({ request: null, response: { first: 5_000, last: 9_000 }, inFlight: 0 });
    expect(noRequest.request).toBeNull();
    expect(noRequest.ts).toBe('2026-11-22T16:04:05.000005000Z');
    expect(noRequest.timing_ns).toEqual({
      first_request_byte: null,
      last_request_byte: null,
      first_response_byte: 0,
      last_response_byte: 4_000,
    });
    const noResponse = line({ response: null, outcome: 'timeout' });
    expect(noResponse.response).toBeNull();
    expect(noResponse.timing_ns.first_response_byte).toBeNull();
  });

  test('a capture without times has none, not zeros', () => {
    const unseen = { first: UNSEEN, last: UNSEEN };
    const record = line({ request: unseen, response: unseen });
    expect(record.ts).toBeNull();
    expect(Object.values(record.timing_ns)).toEqual([null, null, null, null]);
  });

  test('bytes: UTF-8 is text, anything else stands as Latin-1 and is listed', () => {
    const record = line({
      request: {
        target: '/\xff',
        headers: [
          ['X-Utf8', Buffer.from('grüße \u{1f30a}').toString('latin1')],
          ['X-Opaque', 'caf\xe9'],
          ['x-opaque', '\x80'],
          ['X-Control', 'a\tb\x00"\\\x7f'],
        ],
      },
      response: { reason: 'Gr\xfc\xdfe', headers: [['X-Plain', 'p']], trailers: [['X-T', '\xe9']] },
    });
    expect(record.request.headers).toEqual([
      ['X-Utf8', 'grüße \u{1f30a}'],
      ['X-Opaque', 'café'],
      ['x-opaque', '\x80'],
      ['X-Control', 'a\tb\x00"\\\x7f'],
    ]);
    expect(record.request.opaque).toEqual([':target', 'x-opaque']);
    expect(record.response.opaque).toEqual([':reason', 'x-t']);
    expect(line({}).request.opaque).toBeUndefined();
  });

  test('opaque is listed again when the line comes from the cache', () => {
    const x = exchangeOf({ request: { headers: [['X-O', '\xe9']] } });
    for (let i = 0; i < 3; i++) expect(JSON.parse(format.exchange(redact(x))).request.opaque).toEqual(['x-o']);
  });

  test('interim responses carry their own time and fields', () => {
    const record = line({
      interim: [
        { status: 103, at: 4_000, fields: [['Link', '<https://h/?token=canarycanary>']] },
        { status: 100, at: UNSEEN, fields: [['X-O', '\xe9']] },
      ],
    });
    expect(record.response.interim).toEqual([
      {
        status: 103,
        at_ns: 3_000,
        headers: [['Link', expect.stringMatching(/^<https:\/\/h\/\?token=\[fp:[0-9a-f]{16}\]>$/)]],
      },
      { status: 100, at_ns: null, headers: [['X-O', 'é']] },
    ]);
    expect(record.response.opaque).toEqual(['x-o']);
    expect(record.request.opaque).toBeUndefined();
  });

  test('HTTP/2 has its stream, HTTP/1 has none', () => {
    expect(
      line({
        protocol: 'h2',
        request: { streamId: 5, version: 20 },
        response: { streamId: 5, version: 20, reason: '' },
      }).stream_id,
    ).toBe(5);
    expect(line({})).not.toHaveProperty('stream_id');
  });

  test('anomalies, losses, upgrade only when there are any; every name is in the schema', () => {
    const all = ANOMALIES.reduce((bits, name) => bits | ANOMALY_BIT[name], 0);
    const record = line({
      anomalies: all,
      losses: LOSS_REASONS.map((reason, i) => ({ reason, bytes: i })),
      upgrade: 'websocket',
      outcome: 'upgraded',
    });
    expect(record.anomalies).toEqual([...ANOMALIES]);
    expect(record.losses).toEqual(LOSS_REASONS.map((reason, i) => ({ reason, bytes: i })));
    expect(record.upgrade).toBe('websocket');
    for (const outcome of OUTCOMES) expect(line({ outcome }).outcome).toBe(outcome);
    expect(line({})).not.toHaveProperty('anomalies');
    expect(line({})).not.toHaveProperty('upgrade');
  });

  test('scheme and authority: an absolute target wins over Host, CONNECT is its own authority, user information is no part', () => {
    const of = (method: string, target: string) => {
      const { scheme, authority } = line({ request: { method, target, headers: [['Host', 'h.example']] } }).request;
      return [scheme, authority];
    };
    expect(of('GET', '/x')).toEqual(['http', 'h.example']);
    expect(of('OPTIONS', '*')).toEqual(['http', 'h.example']);
    expect(of('GET', 'HTTPS://a.example:8443/x?y')).toEqual(['https', 'a.example:8443']);
    expect(of('GET', 'http://user:canarypw@a.example/x')).toEqual(['http', 'a.example']);
    expect(of('CONNECT', 'up.example:443')).toEqual(['http', 'up.example:443']);
    expect(line({ request: { headers: [] } }).request.authority).toBe('');
  });

  test('process is null when it is not known, and follows the connection when that learns more', () => {
    const connection = connectionOf();
    connection.process = null;
    connection.service = '';
    connection.side = 'unknown';
    expect(line({ connection }).process).toBeNull();
    const container = 'ab'.repeat(32);
    connection.process = { pid: 9, name: 'a"b', cgroup: '/x', container, evidence: 'listener' };
    connection.service = 'b\u00e9';
    connection.side = 'client';
    const record = line({ connection });
    expect(record.process).toEqual({ pid: 9, name: 'a"b', cgroup: '/x', container, evidence: 'listener' });
    expect([record.service, record.side]).toEqual(['bé', 'client']);
  });

  test('header lists choose fields by name or glob, exclude wins', () => {
    const spec: ExchangeSpec = {
      request: {
        headers: [
          ['X-A', '1'],
          ['X-B', '2'],
          ['Y', '3'],
        ],
      },
      interim: [
        {
          status: 103,
          at: 0,
          fields: [
            ['Y', '1'],
            ['X-A', '2'],
          ],
        },
      ],
    };
    const some = new NdjsonFormat({ id, time: time(), headers: new HeaderSelection(['x-*'], ['x-b']) });
    const record = line(spec, some);
    expect(record.request.headers).toEqual([['X-A', '1']]);
    expect(record.response.interim[0].headers).toEqual([['X-A', '2']]);
    expect(
      line(spec, new NdjsonFormat({ id, time: time(), headers: new HeaderSelection([], ['y']) })).request.headers,
    ).toHaveLength(2);
  });
});

test('the summary line is as the schema says', () => {
  const losses = LOSS_REASONS.map((reason) => ({ reason, count: 1, bytes: 2 }));
  const record = JSON.parse(format.end({ segments: 1, bytes: 2, connections: 3, exchanges: 5, losses }, 4));
  expect(validLine(record), JSON.stringify(validLine.errors)).toBe(true);
  expect(record).toEqual({
    type: 'summary',
    segments: 1,
    bytes: 2,
    connections: 3,
    exchanges: 4,
    exchanges_seen: 5,
    losses,
  });
});

test('docs/loss.md explains every loss reason, and none that does not exist', () => {
  const doc = readFileSync(new URL('../../docs/loss.md', import.meta.url), 'utf8');
  const explained = [...doc.matchAll(/^### `([a-z0-9_]+)`$/gm)].map((m) => m[1]);
  expect(explained.toSorted()).toEqual([...LOSS_REASONS].toSorted());
  for (const section of doc.split(/^### /m).slice(1)) expect(section).toMatch(/\*\*What to do\.\*\* \S/);
});
