/** What GET /api/v1/openapi.json answers: OpenAPI 3.1. */
import { readFileSync } from 'node:fs';

const text = { type: 'string' } as const;
const query = (name: string, description: string, schema: object = text, required = false) => ({
  name,
  in: 'query',
  required,
  description,
  schema,
});
const TIME = '15m, 2h, 7d ago; 2026-11-22; 2026-11-22T16:04:05Z';
const RANGE = [query('since', `From here on: ${TIME}.`), query('until', `Up to here: ${TIME}.`)];
const component = (name: string) => ({ $ref: `#/components/schemas/${name}` });
const error = (description: string) => ({
  description,
  content: { 'application/json': { schema: component('Error') } },
});
const json = (description: string, schema: object) => ({ description, content: { 'application/json': { schema } } });
const REFUSALS = {
  401: error('The token is missing or wrong; only a listener that others can reach asks for one (token_file).'),
  405: error('This interface is read-only: GET and HEAD.'),
  421: error('A listener without a token is asked by another name than localhost or a loopback address.'),
};
const FAILURES = {
  ...REFUSALS,
  400: error('A parameter is wrong: the message names it.'),
  503: error('The agent keeps no store, or cannot read it.'),
  500: error('Files of the store are damaged, or the agent failed.'),
  504: error('It took too long.'),
  507: error('It would take too much memory: ask for less.'),
};

const DOCUMENT = {
  openapi: '3.1.0',
  info: {
    title: 'Headwater',
    version: '1',
    description: 'Calls and API runtime statistics of one host. Read-only.',
    license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
  },
  servers: [{ url: '/', description: 'The agent that serves this document.' }],
  security: [{}, { token: [] }],
  paths: {
    '/api/v1/report': {
      get: {
        operationId: 'report',
        summary: 'The five API runtime statistics: since the start of the agent, or over a range.',
        parameters: RANGE,
        responses: { 200: json('The report (docs/report.md).', component('Report')), ...FAILURES },
      },
    },
    '/api/v1/calls': {
      get: {
        operationId: 'calls',
        summary: 'Past calls, newest first, a page at a time.',
        parameters: [
          query('filter', 'CEL, as everywhere (docs/cli.md).'),
          ...RANGE,
          query('limit', 'Calls on a page.', { type: 'integer', minimum: 1, maximum: 10_000, default: 100 }),
          query('cursor', '`next` of the page before.'),
        ],
        responses: {
          200: json('A page.', {
            type: 'object',
            required: ['calls', 'websockets', 'next', 'searched_until', 'damaged'],
            properties: {
              calls: { type: 'array', items: component('LogExchange'), description: 'docs/header-log.md' },
              websockets: {
                type: 'array',
                items: component('LogWebsocket'),
                description:
                  'What WebSockets carried whose handshakes are among these calls, as far as they have ended.',
              },
              next: {
                type: ['string', 'null'],
                description: 'Cursor of the next page; null: this is the last. A page before the last may be empty.',
              },
              searched_until: {
                type: ['string', 'null'],
                format: 'date-time',
                description:
                  'Not null: the time of a page was up. What was not looked at yet began no later than this: go on with `next`.',
              },
              damaged: { type: 'array', items: text, description: 'Files that could not be read.' },
            },
          }),
          ...FAILURES,
        },
      },
    },
    '/api/v1/sql': {
      get: {
        operationId: 'sql',
        summary: 'One SELECT over calls, states and ledger (docs/store.md).',
        parameters: [
          query('query', 'The SELECT.', text, true),
          query('limit', 'Rows.', { type: 'integer', minimum: 1, maximum: 10_000, default: 1_000 }),
        ],
        responses: {
          200: json('The rows.', {
            type: 'object',
            required: ['columns', 'rows', 'more'],
            properties: {
              columns: { type: 'array', items: text },
              rows: { type: 'array', items: { type: 'array' } },
              more: { type: 'boolean' },
            },
          }),
          ...FAILURES,
        },
      },
    },
    '/api/v1/openapi.json': {
      get: {
        operationId: 'openapi',
        summary: 'This document.',
        responses: { 200: json('OpenAPI 3.1.', { type: 'object' }), ...REFUSALS },
      },
    },
  },
  components: {
    securitySchemes: { token: { type: 'http', scheme: 'bearer', description: 'The content of token_file.' } },
    schemas: {
      Error: {
        type: 'object',
        required: ['error'],
        properties: {
          error: { type: 'object', required: ['code', 'message'], properties: { code: text, message: text } },
        },
      },
    },
  },
} as const;

type Schemas = Readonly<Record<string, object>>;

/** A schema of docs/ as components: its own part is `prefix`, `#/$defs/route` in it is `#/components/schemas/{prefix}Route`. */
function published(file: string, prefix: string): Schemas {
  const named = (part: string): string => `${prefix}${part.charAt(0).toUpperCase()}${part.slice(1)}`;
  const text = readFileSync(new URL(`../../docs/${file}`, import.meta.url), 'utf8');
  const moved = (key: string, value: unknown): unknown =>
    key === '$ref' ? component(named((value as string).replace('#/$defs/', ''))).$ref : value;
  const { $schema: _, $id: __, $defs, ...whole } = JSON.parse(text, moved) as Record<string, unknown>;
  const parts = Object.entries($defs as Schemas).map(([part, schema]) => [named(part), schema]);
  return { [prefix]: whole, ...Object.fromEntries(parts) };
}

type OpenApi = typeof DOCUMENT & { readonly components: { readonly schemas: Schemas } };
let document: OpenApi | null = null;

/** The document: what the paths say, with the schemas of docs/ in it. */
export function openApi(): OpenApi {
  const { components } = DOCUMENT;
  const more = (): Schemas => ({
    ...published('report.schema.json', 'Report'),
    ...published('header-log.schema.json', 'Log'),
  });
  document ??= { ...DOCUMENT, components: { ...components, schemas: { ...components.schemas, ...more() } } };
  return document;
}
