/** The TCP listener (`--listen`): health, readiness, metrics. Loopback is open; any other address needs a token. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage, Server } from 'node:http';
import { BlockList, isIP } from 'node:net';
import { readAtMost } from '../base/bounded-file.ts';
import { readOnlyServer, sendError, sendJson } from './http.ts';
import { type MetricsSource, Scrapes } from './scrape.ts';
import { answerV1, type HistorySource } from './v1.ts';

const TOKEN_LENGTH_MIN = 16;
const TOKEN_FILE_BYTES_MAX = 4_096;

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4');
LOOPBACK.addAddress('::1', 'ipv6');

/** True when only this machine can reach `host`. A name other than localhost may resolve to anything: false. */
export function isLoopback(host: string): boolean {
  const family = isIP(host);
  if (family === 0) return host === 'localhost';
  return LOOPBACK.check(host, family === 4 ? 'ipv4' : 'ipv6');
}

export type TokenResult =
  | { readonly ok: true; readonly token: string }
  | { readonly ok: false; readonly message: string };

/** Reads a token file: one line. */
export function readToken(file: string): TokenResult {
  let bytes: Buffer | null;
  try {
    bytes = readAtMost(file, TOKEN_FILE_BYTES_MAX);
  } catch (error) {
    return { ok: false, message: `token_file ${file} cannot be read: ${(error as Error).message}` };
  }
  const text = bytes?.toString().trim() ?? '';
  if (text.length < TOKEN_LENGTH_MIN || /[^\x21-\x7e]/.test(text)) {
    return {
      ok: false,
      message: `token_file ${file} must hold one line of ${TOKEN_LENGTH_MIN} or more visible ASCII characters`,
    };
  }
  return { ok: true, token: text };
}

/**
 * GET /healthz, /readyz, /metrics, /api/v1/... `token` null: no authorization (loopback only; the caller sees to that), so it must be asked by a
 * loopback name: a web page that gives its own name this address (DNS rebinding) has a browser of this machine ask, and would read the answers.
 */
export function publicServer(metrics: MetricsSource, history: HistorySource, token: string | null): Server {
  const { status } = metrics;
  const scrapes = new Scrapes(metrics);
  const expected = token === null ? null : digest(token);
  return readOnlyServer(async (url, request, response) => {
    if (expected !== null && !timingSafeEqual(digest(bearer(request)), expected)) {
      response.setHeader('www-authenticate', 'Bearer realm="headwater"');
      return sendError(response, 401, 'unauthorized', 'send the token as "Authorization: Bearer TOKEN"');
    }
    if (token === null && !isAskedByLoopback(request))
      return sendError(
        response,
        421,
        'misdirected',
        'without a token_file only localhost, 127.0.0.1 and ::1 are answered',
      );
    if (await answerV1(history, url, response)) return;
    switch (url.pathname) {
      case '/healthz':
        return sendJson(response, 200, { status: 'ok' });
      case '/readyz':
        return status.ready()
          ? sendJson(response, 200, { status: 'ready' })
          : sendJson(response, 503, { status: 'starting' });
      case '/metrics':
        return await scrapes.answer(request, response);
      default:
        return sendError(response, 404, 'not_found', `there is nothing at ${url.pathname}`);
    }
  });
}

/** By the Host field; what is no browser may leave it out. */
function isAskedByLoopback({ headers: { host } }: IncomingMessage): boolean {
  if (host === undefined) return true;
  const name = URL.parse(`http://${host}`)?.hostname ?? '';
  return isLoopback(name.replace(/^\[(.*)\]$/, '$1'));
}

/** Equal lengths for the comparison, whatever was sent. */
const digest = (text: string): Buffer => createHash('sha256').update(text).digest();

const bearer = (request: IncomingMessage): string =>
  /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1] ?? '';
