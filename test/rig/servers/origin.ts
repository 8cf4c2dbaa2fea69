/**
 * The server behind a gateway: node origin.ts PORT LOG. Each line of its log is an `OriginCall`, written when the call has
 * ended; it takes the id from the query, which gateways leave alone.
 */
import { openSync, writeSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

export interface OriginCall {
  readonly id: string;
  readonly method: string;
  readonly target: string;
  readonly requestFields: readonly (readonly [name: string, value: string])[];
  readonly requestBytes: number;
  readonly status: number;
  readonly responseBytes: number;
  /** The response was sent to its end. */
  readonly whole: boolean;
}

export const inPairs = (raw: readonly string[]): (readonly [string, string])[] =>
  Array.from({ length: raw.length / 2 }, (_, i) => [raw[2 * i]!, raw[2 * i + 1]!]);

async function answer(request: IncomingMessage, response: ServerResponse, send: (body: Buffer) => void): Promise<void> {
  const [, path = '', argument = ''] = request.url!.split('?')[0]!.split('/');
  const n = Number(argument);
  const whole = (status: number, body: Buffer, fields: Record<string, string> = {}): void => {
    response.writeHead(status, { 'Content-Length': body.length, 'X-Dup': ['a', 'b'], 'X-Obs': 'caf\xe9', ...fields });
    send(body);
    response.end();
  };
  switch (path) {
    case 'bytes':
      return whole(200, Buffer.alloc(n, 'b'));
    case 'status':
      if (n !== 204 && n !== 304) return whole(n, Buffer.from('told\n'), { 'Retry-After': '1' });
      response.writeHead(n, { ETag: '"x"' }).end();
      return;
    case 'events':
      response.writeHead(200, { 'Content-Type': 'text/event-stream' });
      for (let i = 0; i < n; i++) {
        send(Buffer.from(`data: ${i}\n\n`));
        await sleep(1);
      }
      response.end();
      return;
    case 'trailers':
      response.writeHead(200, request.httpVersion === '1.0' ? {} : { Trailer: 'X-Sum' });
      send(Buffer.alloc(500, 't'));
      if (request.httpVersion !== '1.0') response.addTrailers({ 'X-Sum': '500' });
      response.end();
      return;
    case 'stall':
    case 'reset':
      response.writeHead(200, { 'Content-Length': 100_000 });
      send(Buffer.alloc(50_000, 's'));
      if (path === 'reset') setTimeout(() => request.socket.resetAndDestroy(), 20);
      return;
    default:
      return whole(404, Buffer.from('missing\n'));
  }
}

if (import.meta.main) {
  const [port, path] = process.argv.slice(2);
  const log = openSync(path!, 'a');
  const server = createServer(async (request, response) => {
    let requestBytes = 0;
    let responseBytes = 0;
    response.once('close', () => {
      const call: OriginCall = {
        id: /[?&]id=([\w-]+)/.exec(request.url!)?.[1] ?? '-',
        method: request.method!,
        target: request.url!,
        requestFields: inPairs(request.rawHeaders),
        requestBytes,
        status: response.statusCode,
        responseBytes: request.method === 'HEAD' ? 0 : responseBytes,
        whole: response.writableFinished,
      };
      writeSync(log, `${JSON.stringify(call)}\n`);
    });
    for await (const piece of request) requestBytes += (piece as Buffer).length;
    await answer(request, response, (body) => {
      responseBytes += body.length;
      response.write(body);
    });
  });
  server.keepAliveTimeout = 60_000;
  server.listen(Number(port), '127.0.0.1');
}
