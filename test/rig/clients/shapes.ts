/** Calls of every shape to one port, over connections that are kept, by Node's own client: what it sent and got is the truth. */
import { Agent, request } from 'node:http';
import { text } from 'node:stream/consumers';
import { inPairs } from '../servers/origin.ts';

export interface Shape {
  readonly path: string;
  readonly method?: string;
  readonly fields?: readonly string[];
  readonly body?: number;
  readonly chunked?: boolean;
  /** Goes away when the response has begun. */
  readonly leaves?: boolean;
}

export interface ShapedCall {
  readonly id: string;
  readonly method: string;
  readonly target: string;
  readonly requestFields: readonly (readonly [name: string, value: string])[];
  readonly requestBytes: number;
  /** null: no response. */
  readonly status: number | null;
  readonly responseFields: readonly (readonly [name: string, value: string])[];
  readonly responseBytes: number;
  readonly trailers: readonly (readonly [name: string, value: string])[];
  readonly whole: boolean;
}

const many = Array.from({ length: 40 }, (_, i) => [`X-Field-${i}`, `value ${i}`]).flat();

export const SHAPES: readonly Shape[] = [
  { path: '/bytes/6' },
  { path: '/bytes/6', method: 'HEAD' },
  ...[204, 304, 404, 429, 500, 503].map((status) => ({ path: `/status/${status}` })),
  { path: '/trailers' },
  { path: '/events/5' },
  { path: '/bytes/10', method: 'POST', body: 0 },
  { path: '/bytes/10', method: 'POST', body: 50_000 },
  { path: '/bytes/10', method: 'PUT', body: 50_000, chunked: true },
  { path: '/bytes/10', method: 'POST', body: 1_000_000 },
  { path: '/bytes/1000000' },
  { path: '/bytes/10', method: 'DELETE' },
  { path: '/bytes/10', fields: many },
  { path: '/bytes/10', fields: ['X-Dup', 'one', 'X-Between', '', 'x-dup', 'two', 'X-Obs', 'caf\xe9 \xff'] },
  { path: '/bytes/10', fields: ['X-Long', 'v '.repeat(2_000).trim()] },
  { path: '/missing' },
  { path: '/stall', leaves: true },
  { path: '/reset' },
  { path: '/bytes/6' },
];

/** One after the other, with ids `prefix`-1, -2, ... */
export async function shapedCalls(port: number, prefix: string, shapes: readonly Shape[]): Promise<ShapedCall[]> {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const calls: ShapedCall[] = [];
  for (const [i, shape] of shapes.entries()) calls.push(await shapedCall(agent, port, `${prefix}-${i + 1}`, shape));
  agent.destroy();
  return calls;
}

function shapedCall(agent: Agent, port: number, id: string, shape: Shape): Promise<ShapedCall> {
  const { path, method = 'GET', fields = [], body, chunked = false, leaves = false } = shape;
  const target = `${path}?id=${id}`;
  const framing =
    body === undefined ? [] : chunked ? ['Transfer-Encoding', 'chunked'] : ['Content-Length', String(body)];
  const headers = ['Host', `127.0.0.1:${port}`, ...fields, ...framing, 'Connection', 'keep-alive'];
  const sent = { id, method, target, requestFields: inPairs(headers), requestBytes: body ?? 0 };
  return new Promise((resolve) => {
    const outgoing = request({ agent, host: '127.0.0.1', port, method, path: target, headers });
    outgoing.once('response', async (response) => {
      const got = { ...sent, status: response.statusCode!, responseFields: inPairs(response.rawHeaders) };
      if (leaves) {
        response.once('data', () => outgoing.destroy());
        response.once('error', () => {});
        response.once('close', () => resolve({ ...got, responseBytes: 0, trailers: [], whole: false }));
        return;
      }
      response.setEncoding('latin1');
      const received = await text(response).catch(() => null);
      const whole = received !== null;
      resolve({ ...got, responseBytes: received?.length ?? 0, trailers: inPairs(response.rawTrailers), whole });
    });
    outgoing.once('error', () =>
      resolve({ ...sent, status: null, responseFields: [], responseBytes: 0, trailers: [], whole: false }),
    );
    outgoing.end(body === undefined ? undefined : Buffer.alloc(body, 'u'));
  });
}
