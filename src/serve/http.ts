/** What both servers (unix socket, TCP) share: answers, and bounds against slow or greedy clients. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';

const CONNECTIONS_MAX = 64;
const HEAD_BYTES_MAX = 16_384;
const HEAD_TIME_MS = 5_000;
const REQUEST_TIME_MS = 10_000;
/** How often connections are looked at that may be over their time; Node's own half a minute would let a few slow ones hold all. */
const CHECK_MS = 1_000;

/** Error answers: `{"error":{"code":"...","message":"..."}}`. */
export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly [detail: string]: unknown };
}

export type Handler = (url: URL, request: IncomingMessage, response: ServerResponse) => Promise<void> | void;

export function sendJson(response: ServerResponse, status: number, body: object): void {
  sendText(response, status, 'application/json', `${JSON.stringify(body)}\n`);
}

export function sendText(response: ServerResponse, status: number, type: string, text: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  response.end(response.req.method === 'HEAD' ? undefined : text);
}

export function sendError(
  response: ServerResponse,
  status: number,
  code: string,
  message: string,
  details: object = {},
): void {
  sendJson(response, status, { error: { code, message, ...details } } satisfies ErrorBody);
}

/** A read-only HTTP server. A handler that fails answers 500 and takes nothing else with it. `headMs`: what a request's head may take. */
export function readOnlyServer(handler: Handler, headMs = HEAD_TIME_MS): Server {
  const server = createServer(
    {
      maxHeaderSize: HEAD_BYTES_MAX,
      headersTimeout: headMs,
      connectionsCheckingInterval: CHECK_MS,
      requestTimeout: REQUEST_TIME_MS,
      keepAliveTimeout: HEAD_TIME_MS,
    },
    (request, response) => {
      request.resume();
      response.on('error', () => {});
      void answer(handler, request, response);
    },
  );
  server.maxConnections = CONNECTIONS_MAX;
  return server;
}

async function answer(handler: Handler, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    sendError(response, 405, 'method_not_allowed', `${request.method} is not allowed; this interface is read-only`);
    return;
  }
  const url = URL.parse(request.url ?? '/', 'http://agent');
  if (url === null) {
    sendError(response, 400, 'bad_target', 'the request target is not a path');
    return;
  }
  try {
    await handler(url, request, response);
  } catch (error) {
    if (response.headersSent) response.destroy();
    else sendError(response, 500, 'internal', (error as Error).message);
  }
}
