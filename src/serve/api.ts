/** What the agent answers to local commands over its unix socket. */
import type { Server, ServerResponse } from 'node:http';
import type { StatusSource } from '../model/status.ts';
import type { Answer } from '../query/data.ts';
import { compileFilter } from '../query/filter.ts';
import { readOnlyServer, sendError, sendJson } from './http.ts';
import type { PacketHub } from './packets.ts';
import type { TailHub } from './tail.ts';
import { answerV1, type HistorySource } from './v1.ts';

/** Live state for `why`; its shape is a matter between the agent and `cli/why`. */
type WhySource = (pids: readonly number[]) => Promise<object>;

export interface ApiOptions {
  readonly status: StatusSource;
  /** null: the agent hands out no record of a single call (`stats_only`). */
  readonly tail: TailHub | null;
  /** null: no packet leaves the agent either. */
  readonly packets: PacketHub | null;
  readonly why: WhySource;
  readonly history: HistorySource;
  /** Where calls are kept, once every call so far can be read there; without it none are. */
  readonly settled?: () => Promise<SettledAnswer>;
}

export type SettledAnswer = Answer<{ readonly data: string }>;

/** GET /api/v1/..., /healthz, /v1/status[?programs=1], /v1/tail[?filter=CEL], /v1/packets?seconds=N[&secrets=1], /v1/settled, /v1/why[?pid=PID...]. */
export function apiServer(options: ApiOptions): Server {
  return readOnlyServer(async (url, request, response) => {
    if (await answerV1(options.history, url, response)) return;
    switch (url.pathname) {
      case '/healthz':
        return sendJson(response, 200, { status: 'ok' });
      case '/v1/status':
        return sendJson(
          response,
          200,
          await options.status.status({ programs: url.searchParams.get('programs') === '1' }),
        );
      case '/v1/why':
        return sendJson(response, 200, await options.why(pidsOf(url.searchParams)));
      case '/v1/settled':
        return await settled(options, response);
      case '/v1/packets':
        if (options.packets === null) return sendError(response, 403, 'stats_only', STATS_ONLY);
        return options.packets.answer(url.searchParams, request.method === 'HEAD', response);
      case '/v1/tail':
        return tail(options.tail, url.searchParams.get('filter'), request.method === 'HEAD', response);
      default:
        return sendError(response, 404, 'not_found', `there is nothing at ${url.pathname}`);
    }
  });
}

const STATS_ONLY = 'the agent runs with stats_only: no record of a single call leaves it';
const PIDS_MAX = 256;
const pidsOf = (parameters: URLSearchParams): number[] =>
  parameters
    .getAll('pid')
    .slice(0, PIDS_MAX)
    .map(Number)
    .filter((pid) => Number.isInteger(pid) && pid > 0);

async function settled({ settled: ask }: ApiOptions, response: ServerResponse): Promise<void> {
  const answer = ask === undefined ? NOT_KEPT : await ask();
  if (answer.ok) sendJson(response, 200, answer.value);
  else sendError(response, 503, answer.error.type, answer.error.message);
}

const NOT_KEPT: SettledAnswer = {
  ok: false,
  error: {
    type: 'unavailable',
    message: 'it keeps no calls (--no-store or stats_only), so there is nothing to begin with',
  },
};

function tail(hub: TailHub | null, text: string | null, headOnly: boolean, response: ServerResponse): void {
  const compiled = text === null ? null : compileFilter(text);
  if (hub === null) {
    sendError(response, 403, 'stats_only', STATS_ONLY);
  } else if (hub.full) {
    sendError(response, 503, 'too_many_viewers', 'too many viewers are connected already');
  } else if (compiled?.ok === false) {
    sendError(response, 400, 'bad_filter', compiled.error.message, { filter: compiled.error });
  } else {
    response.writeHead(200, { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' });
    response.flushHeaders();
    if (headOnly) response.end();
    else hub.join(response, compiled === null ? null : compiled.filter);
  }
}
