/** A filter gives one answer for a call, whether it looks at the exchange in the agent or at the line in the log. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { TimeFormatter, UNSEEN } from '../base/clock.ts';
import { NdjsonFormat } from '../export/log/ndjson.ts';
import { Connection, type ProcessInfo } from '../model/connection.ts';
import { Exchange, OUTCOMES } from '../model/exchange.ts';
import { FieldLine, HeaderName } from '../model/fields.ts';
import { Message, type MessageKind } from '../model/message.ts';
import type { ExchangeRecord } from '../model/record.ts';
import { INGRESS } from '../model/segment.ts';
import { Fingerprinter } from '../redact/fingerprint.ts';
import { CredentialPolicy } from '../redact/policy.ts';
import { redactor } from '../redact/redacted.ts';
import { ExchangeSubject } from './exchange-subject.ts';
import { compileFilter } from './filter.ts';
import { RecordSubject } from './record-subject.ts';

const SECRET = 'sk-proj-fakefakefakefakefakefake0123456789';
const anchor = { wallNs: 1_795_363_445_123_456_789n };
const redact = redactor(new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 7))));
const log = new NdjsonFormat({
  id: (connection, ordinal) => `run-${connection.id}-${ordinal}`,
  time: new TimeFormatter(anchor),
});
const subject = new ExchangeSubject(anchor);

/** Latin1 code points of UTF-8 bytes, of other bytes, and plain text. */
const latin1 = fc.oneof(
  fc.constantFrom('', 'a', 'x y', 'application/json', SECRET, `Bearer ${SECRET}`),
  fc.string({ maxLength: 12 }).map((text) => Buffer.from(text, 'utf8').toString('latin1')),
  fc.uint8Array({ maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
);
const header = fc.tuple(fc.constantFrom('Host', 'X-A', 'x-a', 'Accept', 'Authorization', 'Cookie', 'X-\u00e9'), latin1);
const target = fc.oneof(
  fc.constantFrom(
    '/',
    '*',
    '/a/b?c=d',
    '/a?',
    'http://user:pw@h.example:80/p?q',
    'http://h.example',
    'h.example:443',
    `/x?api_key=${SECRET}`,
  ),
  latin1.map((text) => `/${text}`),
);
const time = fc.oneof(fc.constant(UNSEEN), fc.integer({ min: 0, max: 5e9 }));

function message(kind: MessageKind, change: Partial<Message>, headers: ReadonlyArray<[string, string]>): Message {
  const made = Object.assign(new Message(), { kind }, change);
  headers.forEach(([raw, value], i) => {
    made.fields.push(new FieldLine(new HeaderName(i + 1, raw.toLowerCase()), raw, value), 0, 0);
  });
  return made;
}

const exchange = fc
  .record({
    method: fc.constantFrom('GET', 'POST', 'CONNECT', 'OPTIONS'),
    target,
    status: fc.integer({ min: 100, max: 599 }),
    requestHeaders: fc.array(header, { maxLength: 6 }),
    responseHeaders: fc.array(header, { maxLength: 6 }),
    times: fc.tuple(time, time, time, time),
    sizes: fc.tuple(fc.nat(), fc.nat(), fc.nat(), fc.nat()),
    outcome: fc.constantFrom(...OUTCOMES),
    seen: fc.constantFrom('both', 'request', 'response'),
    process: fc.boolean(),
  })
  .map((x) => {
    const made = new Exchange();
    const connection = new Connection(1, { address: '10.0.0.1', port: 80 }, { address: '::1', port: 40_000 });
    connection.side = 'server';
    connection.clientDirection = INGRESS;
    connection.service = 'nginx.service';
    if (x.process)
      connection.process = {
        pid: 7,
        name: 'nginx',
        cgroup: '/a',
        container: null,
        evidence: 'writer',
      } satisfies ProcessInfo;
    made.connection = connection;
    made.ordinal = 1;
    made.outcome = x.outcome;
    made.route = '/a/{id}';
    const [firstRequest, lastRequest, firstResponse, lastResponse] = x.times;
    const [requestHead, requestBody, responseHead, responseBody] = x.sizes;
    if (x.seen !== 'response') {
      made.request = message(
        'request',
        {
          method: x.method,
          target: x.target,
          firstByteAt: firstRequest,
          lastByteAt: lastRequest,
          headBytes: requestHead,
          bodyBytes: requestBody,
        },
        x.requestHeaders,
      );
    }
    if (x.seen !== 'request') {
      made.response = message(
        'response',
        {
          status: x.status,
          firstByteAt: firstResponse,
          lastByteAt: lastResponse,
          headBytes: responseHead,
          bodyBytes: responseBody,
        },
        x.responseHeaders,
      );
    }
    return made;
  });

const recordOf = (made: Exchange): ExchangeRecord => JSON.parse(log.exchange(redact(made))) as ExchangeRecord;

/** Filters that take a value apart: what the exchange gives must be what the record holds. */
function questions(record: ExchangeRecord): string[] {
  const same = (name: string, value: string | undefined): string[] =>
    value === undefined ? [`has(${name})`] : [`${name} == ${celString(value)}`];
  const { request, response } = record;
  const joined = (headers: ReadonlyArray<readonly [string, string]>, name: string): string =>
    headers
      .filter(([raw]) => raw.toLowerCase() === name)
      .map(([, value]) => value)
      .join(', ');
  const headerQuestions = (side: string, headers: ReadonlyArray<readonly [string, string]>): string[] =>
    headers.flatMap(([raw]) => [
      `${side}.headers[${celString(raw.toLowerCase())}] == ${celString(joined(headers, raw.toLowerCase()))}`,
    ]);
  return [
    ...same('request.method', request?.method),
    ...same('request.host', request?.authority),
    ...same('request.scheme', request?.scheme),
    ...(request === null ? [] : headerQuestions('request', request.headers)),
    ...(response === null
      ? ['has(response.code)']
      : [`response.code == ${response.status}`, ...headerQuestions('response', response.headers)]),
    ...(request === null ? [] : [`request.total_size == ${request.head_bytes + request.body_bytes}`]),
    'has(request.path)',
    'request.path.contains("a")',
    'request.url_path.size() > 3',
    'request.query == ""',
    'duration > duration("1s")',
    'duration < duration("0s")',
    'request.duration == duration',
    'request.time > timestamp("2026-11-22T16:44:06Z")',
    'has(request.time)',
    'process.pid == 7',
    'has(process.name)',
    `outcome == "${record.outcome}"`,
    'route == "/a/{id}"',
    'source.address == "::1" && destination.port == 80',
    'request.headers.exists(name, name.contains("x"))',
    'response.headers.size() > 2',
  ];
}

const celString = (text: string): string =>
  JSON.stringify(text).replace(/[\u007f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);

test('the same answer from the exchange and from its line', () => {
  fc.assert(
    fc.property(exchange, (made) => {
      const record = recordOf(made);
      const fromRecord = new RecordSubject(record);
      for (const text of questions(record)) {
        const compiled = compileFilter(text);
        // Lone surrogates cannot be written in CEL.
        if (!compiled.ok) continue;
        const answer = compiled.filter.matches(fromRecord);
        const errors = compiled.filter.errors;
        expect([text, compiled.filter.matches(subject.bind(redact(made)))]).toEqual([text, answer]);
        expect([text, compiled.filter.errors - errors]).toEqual([text, errors]);
      }
    }),
    { numRuns: 1_000 },
  );
});

test('what the record shows is what the filter finds', () => {
  fc.assert(
    fc.property(exchange, (made) => {
      const record = recordOf(made);
      for (const text of questions(record).filter(
        (q) => q.startsWith('request.method ==') || q.startsWith('request.host =='),
      )) {
        const compiled = compileFilter(text);
        if (compiled.ok) expect([text, compiled.filter.matches(subject.bind(redact(made)))]).toEqual([text, true]);
      }
    }),
    { numRuns: 300 },
  );
});

test('a filter is no oracle for secrets', () => {
  const made = new Exchange();
  made.connection = new Connection(2, { address: '10.0.0.1', port: 80 }, { address: '10.0.0.2', port: 4 });
  made.request = message('request', { method: 'GET', target: `http://u:${SECRET}@h.example/?api_key=${SECRET}` }, [
    ['Authorization', `Bearer ${SECRET}`],
    ['Cookie', `session=${SECRET}`],
    ['X-Unknown', SECRET],
    ['Referer', `http://a.example/?token=${SECRET}`],
  ]);
  const view = subject.bind(redact(made));
  for (let length = 1; length <= SECRET.length; length++) {
    const part = SECRET.slice(-length);
    if (part.length < 4) continue;
    const anywhere = `request.path.contains("${part}") || request.host.contains("${part}") || request.headers.exists(n, n.contains("${part}") || request.headers[n].contains("${part}"))`;
    const compiled = compileFilter(anywhere);
    expect(compiled.ok && compiled.filter.matches(view), part).toBe(false);
  }
});
