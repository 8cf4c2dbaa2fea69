/** /api/v1 over real sockets: what is wrong is named, what is right is passed on, the document describes both. */
import type { Server } from 'node:http';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { afterEach, describe, expect, test } from 'vitest';
import { sampleSource } from '../../test/fixtures/samples.ts';
import type { CallQuery } from '../query/calls.ts';
import type { QueryFailure } from '../query/data.ts';
import { listenTcp } from './listen.ts';
import { openApi } from './openapi.ts';
import { publicServer } from './public.ts';
import type { HistorySource } from './v1.ts';

const servers: Server[] = [];
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.close();
    server.closeAllConnections();
  }
});

interface Asked {
  report: [number | null, number | null][];
  calls: CallQuery[];
  sql: [string, number][];
}

/** An agent that answers everything with little, and notes what it was asked. */
function historyOf(change: Partial<HistorySource> = {}): { history: HistorySource; asked: Asked } {
  const asked: Asked = { report: [], calls: [], sql: [] };
  const history = {
    report: async (since: number | null, until: number | null) => {
      asked.report.push([since, until]);
      return { ok: true, value: { range: {} } };
    },
    calls: async (query: CallQuery) => {
      asked.calls.push(query);
      return {
        ok: true,
        value: { calls: [{ id: 'a' }], websockets: [], next: 'c', searched_until: null, damaged: [] },
      };
    },
    sql: async (text: string, rows: number) => {
      asked.sql.push([text, rows]);
      return { ok: true, value: { columns: ['n'], rows: [[1n]], more: false } };
    },
    ...change,
  } as unknown as HistorySource;
  return { history, asked };
}

type Body = Record<string, unknown> & { error: { code: string; message: string; filter: { column: number } } };

async function open(history: HistorySource): Promise<(path: string) => Promise<{ status: number; body: Body }>> {
  const server = publicServer({ status: sampleSource(), createdMs: 0, *statistics() {} }, history, null);
  const listening = await listenTcp(server, '127.0.0.1', 0);
  if (!listening.ok) throw new Error(listening.message);
  servers.push(server);
  return async (path) => {
    const answer = await fetch(`http://${listening.address}${path}`);
    expect(answer.headers.get('content-type')).toBe('application/json');
    return { status: answer.status, body: (await answer.json()) as Body };
  };
}

describe('what is wrong is refused, named, and goes no further', () => {
  test.each([
    ['/api/v1/report?since=yesterdayish', 'yesterdayish'],
    ['/api/v1/report?since=2026-11-22&until=2026-11-21', 'the range is empty'],
    ['/api/v1/report?since=', '"" is no time: write 2026-11-22'],
    ['/api/v1/report?sinec=15m', 'there is no parameter sinec; there are since, until'],
    ['/api/v1/calls?since=99999999999999999999d', 'is no time'],
    ['/api/v1/calls?limit=0', 'limit is 0, it must be a whole number from 1 to 10000'],
    ['/api/v1/calls?limit=10001', '10000'],
    ['/api/v1/calls?limit=-1', '-1'],
    ['/api/v1/calls?limit=1e3', '1e3'],
    ['/api/v1/calls?limit=%2031', 'limit'],
    ['/api/v1/calls?limit=1&limit=2', 'limit is there twice'],
    ['/api/v1/calls?__proto__=1', '__proto__'],
    ['/api/v1/calls?Filter=true', 'Filter'],
    ['/api/v1/sql', 'query is missing'],
    ['/api/v1/sql?query=select+1&limit=10001', '10000'],
    ['/api/v1/sql?query=select+1&sql=x', 'sql'],
  ])('%s', async (path, names) => {
    const { history, asked } = historyOf();
    const { status, body } = await (await open(history))(path);
    expect([status, body.error.code]).toEqual([400, 'bad_request']);
    expect(body.error.message).toContain(names);
    expect(asked).toEqual({ report: [], calls: [], sql: [] });
  });

  test.each(['/api/v1/nothing', '/api/v1/calls/', '/api/v1//calls', '/api/v1/..%2fcalls', '/api/v1/%00'])(
    '%s is not there, and the answer says what is',
    async (path) => {
      const { status, body } = await (await open(historyOf().history))(path);
      expect(status).toBe(404);
      expect(body.error.message).toContain('/api/v1/openapi.json');
    },
  );

  test('a path that only begins like it is not the interface', async () => {
    expect((await (await open(historyOf().history))('/api/v10')).body.error.message).not.toContain('openapi');
  });
});

describe('what is right is passed on', () => {
  test('ranges, pages, limits', async () => {
    const { history, asked } = historyOf();
    const ask = await open(history);
    expect((await ask('/api/v1/report')).status).toBe(200);
    expect((await ask('/api/v1/report?since=2026-11-22T16:00:00Z&until=2026-11-22T16:04:05.5Z')).status).toBe(200);
    expect(asked.report).toEqual([
      [null, null],
      [Date.parse('2026-11-22T16:00:00Z'), Date.parse('2026-11-22T16:04:05.500Z')],
    ]);
    const page = await ask(`/api/v1/calls?filter=${encodeURIComponent('response.code >= 500')}&limit=7&cursor=x%26y`);
    expect(page.body).toEqual({ calls: [{ id: 'a' }], websockets: [], next: 'c', searched_until: null, damaged: [] });
    await ask('/api/v1/calls');
    expect(asked.calls[0]).toMatchObject({ filter: 'response.code >= 500', limit: 7, cursor: 'x&y' });
    expect(asked.calls[1]).toMatchObject({ limit: 100 });
    expect(asked.calls[1]).not.toHaveProperty('filter');
    await ask('/api/v1/sql?query=select%201&limit=5');
    await ask('/api/v1/sql?query=select%202');
    expect(asked.sql).toEqual([
      ['select 1', 5],
      ['select 2', 1_000],
    ]);
  });

  test('values of the store become JSON without losing digits', async () => {
    const rows = [[1n, 2n ** 63n, null, 'x', 1.5, true, { items: [1n, Number.NaN] }, { entries: { a: -1 / 0 } }]];
    const { history } = historyOf({
      sql: async () => ({ ok: true, value: { columns: ['a'], rows, more: true } }) as never,
    });
    const { body } = await (await open(history))('/api/v1/sql?query=x');
    expect(body).toEqual({
      columns: ['a'],
      rows: [[1, '9223372036854775808', null, 'x', 1.5, true, [1, 'NaN'], { a: '-Infinity' }]],
      more: true,
    });
  });
});

describe('what fails', () => {
  test.each([
    ['invalid', 400, 'bad_request'],
    ['unavailable', 503, 'unavailable'],
    ['timeout', 504, 'timeout'],
    ['memory', 507, 'memory'],
    ['damaged', 500, 'damaged'],
  ] as const)('%s is %d', async (type, status, code) => {
    const error = { ok: false, error: { type, message: `because ${type}` } as QueryFailure } as const;
    const { history } = historyOf({ report: async () => error, calls: async () => error, sql: async () => error });
    const ask = await open(history);
    for (const path of ['/api/v1/report', '/api/v1/calls', '/api/v1/sql?query=select+1']) {
      const answer = await ask(path);
      expect([answer.status, answer.body]).toEqual([status, { error: { code, message: `because ${type}` } }]);
    }
  });

  test('a source that throws is 500, and the next question is answered', async () => {
    const { history } = historyOf({ sql: () => Promise.reject(new Error('worker gone')) });
    const ask = await open(history);
    expect((await ask('/api/v1/sql?query=x')).status).toBe(500);
    expect((await ask('/api/v1/report')).status).toBe(200);
  });

  test('a bad filter comes with its column', async () => {
    const error = { type: 'filter', message: 'bad', error: { column: 3, message: 'unknown attribute' } };
    const { history } = historyOf({ calls: async () => ({ ok: false, error }) as never });
    const { status, body } = await (await open(history))('/api/v1/calls?filter=x');
    expect([status, body.error.code, body.error.filter.column]).toEqual([400, 'bad_filter', 3]);
  });
});

const RANGE = { since: '2026-11-22T16:00:00.000Z', until: '2026-11-22T17:00:00.000Z' };

describe('the OpenAPI document', () => {
  const document = openApi();
  /** What OpenAPI 3.1 demands of the parts that we use. */
  const response = {
    type: 'object',
    required: ['description'],
    properties: {
      description: { type: 'string', minLength: 1 },
      content: { type: 'object', additionalProperties: { required: ['schema'] } },
    },
    additionalProperties: false,
  };
  const parameter = {
    type: 'object',
    required: ['name', 'in', 'schema', 'description'],
    properties: { in: { const: 'query' }, required: { type: 'boolean' }, schema: { type: 'object' } },
  };
  const operation = {
    type: 'object',
    required: ['operationId', 'summary', 'responses'],
    properties: {
      operationId: { type: 'string', pattern: '^[a-z]+$' },
      summary: { type: 'string', minLength: 1 },
      parameters: { type: 'array', items: parameter, uniqueItems: true },
      responses: {
        type: 'object',
        required: ['200', '401', '405'],
        patternProperties: { '^[1-5]\\d\\d$': response },
        additionalProperties: false,
      },
    },
  };
  const shape = {
    type: 'object',
    required: ['openapi', 'info', 'servers', 'security', 'paths'],
    properties: {
      openapi: { type: 'string', pattern: '^3\\.1\\.\\d+$' },
      info: { type: 'object', required: ['title', 'version', 'license'] },
      servers: { const: [{ url: '/', description: 'The agent that serves this document.' }] },
      security: { const: [{}, { token: [] }] },
      paths: {
        type: 'object',
        minProperties: 1,
        patternProperties: {
          '^/': { type: 'object', required: ['get'], properties: { get: operation }, additionalProperties: false },
        },
        additionalProperties: false,
      },
      components: { type: 'object' },
    },
    additionalProperties: false,
  };

  test('is one, its schemas compile, its references lead somewhere, and the agent serves it', async () => {
    const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } });
    const valid = ajv.validate(shape, document);
    expect(ajv.errors ?? []).toEqual([]);
    expect(valid).toBe(true);
    const text = JSON.stringify(document);
    for (const [, reference] of text.matchAll(/"\$ref":"#\/([^"]+)"/g)) {
      const target = reference!
        .split('/')
        .reduce<unknown>((node, key) => (node as Record<string, unknown>)?.[key], document);
      expect(target, reference).toBeTypeOf('object');
      expect(() => ajv.compile({ ...(target as object), components: document.components })).not.toThrow();
    }
    const ask = await open(historyOf().history);
    for (const path of ['/api/v1', '/api/v1/', '/api/v1/openapi.json'])
      expect((await ask(path)).body).toEqual(JSON.parse(text));
  });

  test('every path in it is answered as it says, and takes the parameters that it names and no others', async () => {
    const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } });
    const report = {
      range: RANGE,
      ledger: { exchanges: 0, losses: [] },
      services: [],
      routes: [],
      changes: [],
      tls: [],
    };
    const page = { calls: [], websockets: [], next: null, searched_until: null, damaged: [] };
    const { history } = historyOf({
      report: async () => ({ ok: true, value: report }),
      calls: async () => ({ ok: true, value: page }),
    });
    const ask = await open(history);
    const examples: Record<string, string> = {
      since: '15m',
      until: '1m',
      limit: '3',
      filter: 'true',
      cursor: 'c',
      query: 'select 1',
    };
    for (const [path, { get }] of Object.entries(document.paths)) {
      const parameters = 'parameters' in get ? get.parameters : [];
      const all = new URLSearchParams(parameters.map(({ name }): [string, string] => [name, examples[name]!]));
      const answer = await ask(`${path}?${all}`);
      expect(answer.status, path).toBe(200);
      const { schema } = get.responses[200].content['application/json'];
      expect(ajv.validate({ ...schema, components: document.components }, answer.body), path).toBe(true);
      for (const { name, required } of parameters) {
        if (!required) continue;
        const without = new URLSearchParams(all);
        without.delete(name);
        const refused = await ask(`${path}?${without}`);
        expect([refused.status, ajv.validate(document.components.schemas.Error, refused.body)]).toEqual([400, true]);
      }
    }
  });
});
