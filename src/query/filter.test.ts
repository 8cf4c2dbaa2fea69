import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sampleRecord } from '../../test/fixtures/samples.ts';
import type { ExchangeRecord } from '../model/record.ts';
import { ATTRIBUTES } from './attributes.ts';
import { compileFilter, FILTER_LENGTH_MAX, type Filter, type FilterError } from './filter.ts';
import { RecordSubject } from './record-subject.ts';

function filterOf(text: string): Filter {
  const result = compileFilter(text);
  if (!result.ok) throw new Error(`${text}: ${result.error.message}`);
  return result.filter;
}

function errorOf(text: string): FilterError {
  const result = compileFilter(text);
  if (result.ok) throw new Error(`compiles: ${text}`);
  return result.error;
}

const matches = (text: string, change: Partial<ExchangeRecord> = {}): boolean =>
  filterOf(text).matches(new RecordSubject(sampleRecord(change)));

describe('what matches the sample call', () => {
  test.each([
    'request.method == "GET"',
    'request.path == "/v1/users/7?x=1&y=2"',
    'request.url_path == "/v1/users/7"',
    'request.query == "x=1&y=2"',
    'request.host == "api.example" && request.scheme == "http"',
    'request.protocol == "http/1.1"',
    'request.headers["x-request-id"] == "r-1"',
    'request.headers["X-Request-ID"] == "r-1"',
    'request.headers.host == "api.example"',
    '"X-Request-Id" in request.headers && !("cookie" in request.headers)',
    'has(request.headers.Host) && !has(request.headers.cookie)',
    'request.headers.accept == "text/html, application/json"',
    'request.headers.size() == 3',
    'request.headers.exists(name, name.startsWith("x-"))',
    'request.total_size == 100 && response.total_size == 592',
    'request.time > timestamp("2026-11-22T16:04:05Z") && request.time < timestamp("2026-11-22T16:04:06Z")',
    'request.duration == duration("1.9ms") && duration > duration("1ms") && duration < duration("2ms")',
    'response.code == 200 && response.code in [200, 204]',
    'response.headers["content-type"].startsWith("application/json")',
    'source.address == "127.0.0.1" && source.port == 40000 && destination.port == 8080',
    'side == "server" && service == "nginx.service" && outcome == "complete"',
    'route == "/v1/users/{id}"',
    'process.pid == 812 && process.name == "nginx"',
    '!has(connection.tls_version)',
    'request.path.matches("^/v[0-9]+/users/[0-9]{1,20}[?]")',
    'request.path.split("/")[1] == "v1"',
    'response.code >= 500 || "x-request-id" in request.headers',
  ])('%s', (text) => expect(matches(text)).toBe(true));
});

describe('what does not', () => {
  test.each([
    'request.method == "get"',
    'response.code >= 500',
    'duration > duration("2ms")',
    'request.headers["cookie"] == "a"',
    'connection.requested_server_name == "x"',
    'request.path.matches("^users")',
    'false',
  ])('%s', (text) => expect(matches(text)).toBe(false));
});

describe('what was not seen', () => {
  const unanswered = {
    response: null,
    timing_ns: { ...sampleRecord().timing_ns, first_response_byte: null, last_response_byte: null },
  };

  test.each([
    ['response.code < 500', false, 1],
    ['!(response.code < 500)', false, 1],
    ['duration > duration("0s")', false, 1],
    ['response.headers.size() == 0', false, 1],
    ['has(response.code)', false, 0],
    ['!has(response.code)', true, 0],
    ['response.code == 200 || request.method == "GET"', true, 0],
    ['response.code == 200 && request.method == "POST"', false, 0],
  ])('without a response, %s gives %s and counts %d errors', (text, expected, errors) => {
    const filter = filterOf(text);
    expect(filter.matches(new RecordSubject(sampleRecord(unanswered)))).toBe(expected);
    expect(filter.errors).toBe(errors);
  });

  test('without a request, or a process, nothing of them matches', () => {
    expect(matches('request.method == "GET" || request.path != ""', { request: null })).toBe(false);
    expect(matches('process.pid > 0', { process: null })).toBe(false);
    expect(matches('request.time > timestamp("1970-01-01T00:00:00Z")', { ts: null })).toBe(false);
  });
});

describe('request targets', () => {
  const withTarget = (method: string, target: string): Partial<ExchangeRecord> => ({
    request: { ...sampleRecord().request!, method, target },
  });
  test.each([
    ['GET', '/a/b?c', '/a/b?c', '/a/b', 'c'],
    ['GET', '/', '/', '/', ''],
    ['GET', 'http://h.example/a?b', '/a?b', '/a', 'b'],
    ['GET', 'http://h.example', '/', '/', ''],
    ['GET', 'HTTP://h.example?q', '/?q', '/', 'q'],
    ['OPTIONS', '*', '*', '*', ''],
    ['CONNECT', 'h.example:443', '', '', ''],
    ['GET', 'odd', 'odd', 'odd', ''],
    ['GET', '/a?b?c', '/a?b?c', '/a', 'b?c'],
  ])('%s %s', (method, target, path, urlPath, query) => {
    const text = `request.path == ${JSON.stringify(path)} && request.url_path == ${JSON.stringify(urlPath)} && request.query == ${JSON.stringify(query)}`;
    expect(matches(text, withTarget(method, target))).toBe(true);
  });
});

describe('mistakes are named with their column', () => {
  test.each<[string, number, string]>([
    ['foo == 1', 1, 'unknown attribute "foo"'],
    ['request.bar == 1', 9, 'unknown attribute "request.bar"'],
    ['response.status > 4', 10, 'unknown attribute "response.status"; did you mean "response.code"?'],
    ['request.headrs.size() > 0', 9, 'unknown attribute "request.headrs"; did you mean "request.headers"?'],
    ['true && routes == "x"', 9, 'unknown attribute "routes"; did you mean "route"?'],
    ['consumer == "x"', 1, 'unknown attribute "consumer"'],
    ['request.method > 3', 1, 'no such overload: string > int'],
    ['duration > 200', 1, 'no such overload: duration > int; write a duration as duration("200ms")'],
    ['request.method ==', 18, 'unexpected token: EOF'],
    [
      'response.code = 200',
      15,
      'unexpected character: =; there are == != < <= > >= in && || ! and calls such as matches("...")',
    ],
    ['request.method', 1, 'the filter gives string, expected bool (true or false)'],
    ['request', 1, 'the filter gives request, expected bool (true or false)'],
    [
      'request.path.matches("(")',
      22,
      'not a regular expression, or one that cannot be matched in linear time (no backreferences, no look-ahead)',
    ],
    [
      'request.path.matches("(?=a)")',
      22,
      'not a regular expression, or one that cannot be matched in linear time (no backreferences, no look-ahead)',
    ],
    ['request.headers.matches("x")', 1, "found no matching overload for 'map.matches(string)'"],
    [
      'request.headers.exists(k, request.headers.exists(l, k == l))',
      1,
      'the filter is too expensive: it would loop inside a loop over headers',
    ],
    ['cel.bind(a, "x", a == a)', 1, 'bind() is not available in filters'],
    ['', 1, 'the filter is empty'],
    ['  \n ', 1, 'the filter is empty'],
    ['é'.repeat(3), 1, expect.stringMatching(/^unexpected/) as unknown as string],
    ['request.path == "é" && foo', 24, 'unknown attribute "foo"'],
  ])('%s', (text, column, message) => expect(errorOf(text)).toMatchObject({ line: 1, column, message }));

  test('a filter that is too long or too deep', () => {
    expect(errorOf('x'.repeat(FILTER_LENGTH_MAX + 1)).message).toBe(
      'the filter has 4097 characters, at most 4096 are allowed',
    );
    expect(errorOf(`${'!'.repeat(4_000)}true`).message).toBe('exceeded maxAstNodes (2000)');
    expect(errorOf(`${'('.repeat(2_000)}true${')'.repeat(2_000)}`).message).toBe('exceeded maxDepth (100)');
  });

  test('the excerpt points at the place', () => {
    expect(errorOf('true &&\n  request.bar == 1')).toEqual({
      line: 2,
      column: 11,
      message: 'unknown attribute "request.bar"',
      excerpt: '  request.bar == 1\n          ^^^',
    });
  });

  test('nothing of a filter can steer a terminal', () => {
    const error = errorOf('"\u001b[31m\u009b" == x\u202e');
    expect(`${error.message}${error.excerpt}`).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/);
  });
});

describe('bounds', () => {
  test('a pattern that would backtrack for ever is linear', () => {
    const filter = filterOf('request.headers["x-evil"].matches("^(a+)+$")');
    const evil = sampleRecord();
    const request = { ...evil.request!, headers: [['x-evil', `${'a'.repeat(60_000)}b`]] as const };
    // A backtracking engine needs 2^60000 steps: this test would not end.
    expect(filter.matches(new RecordSubject({ ...evil, request }))).toBe(false);
    expect(filter.errors).toBe(0);
  });

  test('a pattern and a text that are both long are an error: even linear time would be seconds', () => {
    const filter = filterOf(`request.path.matches("(a|aa|aaa)*${'(a|b)?'.repeat(200)}$")`);
    const record = sampleRecord();
    expect(filter.matches(new RecordSubject({ ...record, request: { ...record.request!, target: 'aab' } }))).toBe(true);
    expect(
      filter.matches(new RecordSubject({ ...record, request: { ...record.request!, target: 'a'.repeat(60_000) } })),
    ).toBe(false);
    expect(filter.errors).toBe(1);
    // The next call has its own bound.
    expect(filter.matches(new RecordSubject({ ...record, request: { ...record.request!, target: 'aab' } }))).toBe(true);
  });

  test('so is one that the filter computes', () => {
    expect(matches('request.path.matches("^" + "/v1")')).toBe(true);
    const filter = filterOf('request.path.matches("(?=" + "a)")');
    expect(filter.matches(new RecordSubject(sampleRecord()))).toBe(false);
    expect(filter.errors).toBe(1);
  });

  test.each([
    'request.headers.exists(a, [1,2,3].exists(b, request.headers.exists(c, true)))',
    `[${Array(900).fill('1').join(',')}].exists(x, [1,2,3,4,5,6].exists(y, x == y))`,
    'request.headers.all(a, request.headers.all(b, a == b))',
  ])('too expensive: %s', (text) => expect(errorOf(text).message).toContain('too expensive'));

  test('a header value is looked at only when the filter asks for it', () => {
    const record = new RecordSubject(sampleRecord());
    const reads: string[] = [];
    const request = {
      ...record.request!,
      headerValue: (i: number) => {
        reads.push(record.request!.headerName(i));
        return record.request!.headerValue(i);
      },
    };
    const counting = new Proxy(record, {
      get: (_, key) => (key === 'request' ? request : Reflect.get(record, key, record)),
    });
    expect(filterOf('response.code == 200').matches(counting)).toBe(true);
    expect(reads).toEqual([]);
    expect(filterOf('request.headers.host == "api.example" && !("cookie" in request.headers)').matches(counting)).toBe(
      true,
    );
    expect(reads).toEqual(['host']);
    expect(filterOf('request.headers.size() == 3 && request.headers.accept.contains("json")').matches(counting)).toBe(
      true,
    );
    expect(reads).toEqual(['host', 'host', 'x-request-id', 'accept', 'accept']);
  });

  test('a header map is a map like any other', () => {
    expect(matches('request.headers == request.headers && request.headers != response.headers')).toBe(true);
    expect(matches('response.headers == {"content-type": "application/json"}')).toBe(true);
    expect(matches('request.headers.map(k, k).size() == 3 && request.headers.all(k, request.headers[k] != "")')).toBe(
      true,
    );
    expect(matches('type(request.headers) == map')).toBe(true);
  });
});

describe('random filters', () => {
  const word = fc.constantFrom(
    ...ATTRIBUTES.map(([name]) => name),
    '==',
    '!=',
    '<',
    '>=',
    '&&',
    '||',
    '!',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    ',',
    '.',
    '?',
    ':',
    '+',
    '-',
    '*',
    '/',
    '%',
    ' in ',
    '"x"',
    "'",
    '"',
    '1',
    '0',
    '-1',
    '1.5',
    '1u',
    'true',
    'null',
    'duration("1s")',
    'timestamp("x")',
    '.size()',
    '.matches("a")',
    '.exists(k, k == "a")',
    '.map(k, k)',
    '.filter(k, true)',
    '.split("")',
    'has(',
    'int(',
    'string(',
    'type(',
    'b"\\xff"',
    'r"\\"',
    '9223372036854775807',
    '\u0000',
    '\n',
    'é',
    '😀',
    'constructor',
    '__proto__',
  );
  const subjects = [
    sampleRecord(),
    sampleRecord({ request: null }),
    sampleRecord({ response: null, process: null, ts: null }),
  ].map((r) => new RecordSubject(r));

  test('never throw, neither when compiled nor when evaluated', () => {
    let compiled = 0;
    fc.assert(
      fc.property(
        fc.oneof(
          fc.array(word, { minLength: 1, maxLength: 12 }).map((w) => w.join('')),
          fc.string({ unit: 'binary' }),
        ),
        (text) => {
          const result = compileFilter(text);
          if (!result.ok) {
            expect(result.error.column).toBeGreaterThan(0);
            expect(result.error.message).not.toBe('');
            return;
          }
          compiled++;
          for (const subject of subjects) expect(typeof result.filter.matches(subject)).toBe('boolean');
        },
      ),
      { numRuns: 5_000 },
    );
    expect(compiled).toBeGreaterThan(0);
  });

  test('well-formed comparisons of every attribute evaluate on every call', () => {
    const literal: Record<string, string> = {
      string: '"x"',
      int: '1',
      'google.protobuf.Duration': 'duration("1s")',
      'google.protobuf.Timestamp': 'timestamp("2026-01-01T00:00:00Z")',
    };
    const comparison = fc
      .tuple(
        fc.constantFrom(...ATTRIBUTES.filter(([, type]) => type in literal)),
        fc.constantFrom('==', '!=', '<', '<=', '>', '>='),
      )
      .map(([[name, type], op]) => `${name} ${op} ${literal[type]}`);
    const tree = fc.letrec<{ expression: string }>((tie) => ({
      expression: fc.oneof(
        { maxDepth: 4 },
        comparison,
        tie('expression').map((e) => `!(${e})`),
        fc
          .tuple(tie('expression'), fc.constantFrom('&&', '||'), tie('expression'))
          .map(([a, op, b]) => `(${a} ${op} ${b})`),
      ),
    })).expression;
    fc.assert(
      fc.property(tree, (text) => {
        const filter = filterOf(text);
        for (const subject of subjects) expect(typeof filter.matches(subject)).toBe('boolean');
      }),
      { numRuns: 500 },
    );
  });
});
