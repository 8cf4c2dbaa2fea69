/** The HTTP API, /api/v1: read-only JSON about the past and the statistics. openapi.ts describes it. */

import type { ServerResponse } from 'node:http';
import { steadyMs } from '../base/clock.ts';
import { CALLS_LIMIT, CALLS_LIMIT_MAX, type CallAnswer, type CallQuery, type SqlAnswer } from '../query/calls.ts';
import { parseRange, type TimeRange } from '../query/calls-range.ts';
import type { Answer, QueryFailure } from '../query/data.ts';
import { jsonValue } from '../query/json-value.ts';
import type { Report } from '../query/report.ts';
import { sendError, sendJson } from './http.ts';
import { openApi } from './openapi.ts';

/** Who answers. `null` of a part: the agent does not have it, and says why. */
export interface HistorySource {
  /** Null ends: since the start, until now. Unix ms. */
  report(sinceMs: number | null, untilMs: number | null): Promise<Answer<Report>>;
  calls(query: CallQuery): Promise<CallAnswer>;
  sql(text: string, rows: number): Promise<Answer<SqlAnswer>>;
}

const STATUS_OF: Readonly<Record<QueryFailure['type'], number>> = {
  invalid: 400,
  unavailable: 503,
  timeout: 504,
  memory: 507,
  damaged: 500,
};
const PREFIX = '/api/v1';
const SQL_ROWS = 1_000;
const SQL_ROWS_MAX = 10_000;

/** Answers when the path is one of the API's; false when it is not. */
export async function answerV1(source: HistorySource, url: URL, response: ServerResponse): Promise<boolean> {
  if (url.pathname !== PREFIX && !url.pathname.startsWith(`${PREFIX}/`)) return false;
  const ask = new Parameters(url.searchParams);
  switch (url.pathname.slice(PREFIX.length)) {
    case '':
    case '/':
    case '/openapi.json':
      sendJson(response, 200, openApi());
      return true;
    case '/report': {
      const range = ask.range();
      if (refused(response, ask.done())) return true;
      if (!range.ok) return failed(response, range.error);
      const { since, until } = range.value;
      const answer = await source.report(ms(since), ms(until));
      if (!answer.ok) return failed(response, answer.error);
      sendJson(response, 200, answer.value);
      return true;
    }
    case '/calls': {
      const range = ask.range();
      const query: CallQuery = {
        ...ask.text('filter', 'filter'),
        ...ask.text('cursor', 'cursor'),
        limit: ask.count('limit', CALLS_LIMIT, CALLS_LIMIT_MAX),
        ...(range.ok ? { range: range.value } : {}),
      };
      if (refused(response, ask.done())) return true;
      if (!range.ok) return failed(response, range.error);
      const answer = await source.calls(query);
      if (answer.ok) sendJson(response, 200, answer.value);
      else if (answer.error.type === 'filter')
        sendError(response, 400, 'bad_filter', answer.error.message, { filter: answer.error.error });
      else failed(response, answer.error);
      return true;
    }
    case '/sql': {
      const text = url.searchParams.get('query');
      ask.text('query', 'query');
      const rows = ask.count('limit', SQL_ROWS, SQL_ROWS_MAX);
      if (refused(response, text === null ? 'query is missing: one SELECT over calls, states, ledger' : ask.done()))
        return true;
      const answer = await source.sql(text!, rows);
      if (!answer.ok) return failed(response, answer.error);
      sendJson(response, 200, {
        columns: answer.value.columns,
        rows: answer.value.rows.map((row) => row.map(jsonValue)),
        more: answer.value.more,
      });
      return true;
    }
    default:
      sendError(
        response,
        404,
        'not_found',
        `there is nothing at ${url.pathname}; ${PREFIX}/openapi.json describes what there is`,
      );
      return true;
  }
}

const ms = (ns: bigint | null): number | null => (ns === null ? null : Number(ns / 1_000n) / 1_000);

function failed(response: ServerResponse, error: QueryFailure): true {
  sendError(response, STATUS_OF[error.type], error.type === 'invalid' ? 'bad_request' : error.type, error.message);
  return true;
}

function refused(response: ServerResponse, problem: string | null): boolean {
  if (problem === null) return false;
  sendError(response, 400, 'bad_request', problem);
  return true;
}

/** Takes what is known out of a query string; anything else is a mistake that is named. */
class Parameters {
  readonly #search: URLSearchParams;
  readonly #known = new Set<string>();
  #problem: string | null = null;

  constructor(search: URLSearchParams) {
    this.#search = search;
  }

  text<K extends string>(name: string, key: K): { [P in K]?: string } {
    this.#known.add(name);
    const value = this.#search.get(name);
    return (value === null ? {} : { [key]: value }) as { [P in K]?: string };
  }

  count(name: string, otherwise: number, max: number): number {
    this.#known.add(name);
    const value = this.#search.get(name);
    if (value === null) return otherwise;
    const number = Number(value);
    if (/^[1-9]\d{0,9}$/.test(value) && number <= max) return number;
    this.#problem ??= `${name} is ${value}, it must be a whole number from 1 to ${max}`;
    return otherwise;
  }

  range(): Answer<TimeRange> {
    this.#known.add('since').add('until');
    return parseRange(this.#search.get('since') ?? undefined, this.#search.get('until') ?? undefined, steadyMs());
  }

  /** The first mistake; null: there is none. */
  done(): string | null {
    const names = [...this.#search.keys()];
    const unknown = names.find((name) => !this.#known.has(name));
    if (unknown !== undefined) return `there is no parameter ${unknown}; there are ${[...this.#known].join(', ')}`;
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    return this.#problem ?? (twice === undefined ? null : `${twice} is there twice: give one`);
  }
}
