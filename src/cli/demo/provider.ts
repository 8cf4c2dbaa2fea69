/**
 * The demo's fake LLM provider, a process of its own: OpenAI's and Anthropic's shapes, unary and streamed, with the
 * headers that the real ones send. Prints its port when it listens.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { setTimeout as sleep } from 'node:timers/promises';

const WORDS = ['Headwater', ' is', ' where', ' a', ' river', ' begins', '.'];
/** Pace of a stream, in milliseconds for each word. */
const WORD_MS = 15;

interface Ask {
  readonly model: string;
  readonly stream?: boolean;
}

let answered = 0;
let flaky = 0;

function openaiHeaders(): Record<string, string> {
  const id = `req_demo_${String(++answered).padStart(4, '0')}`;
  return {
    'x-request-id': id,
    'openai-organization': 'demo-organization',
    'openai-processing-ms': '12',
    'openai-version': '2020-10-01',
    'x-ratelimit-limit-requests': '10000',
    'x-ratelimit-limit-tokens': '200000',
    'x-ratelimit-remaining-requests': String(10_000 - answered),
    'x-ratelimit-remaining-tokens': String(200_000 - 50 * answered),
    'x-ratelimit-reset-requests': '6ms',
    'x-ratelimit-reset-tokens': '12ms',
    'set-cookie': '__demo_session=not-a-real-cookie-0123456789; Path=/; HttpOnly; Secure',
    'strict-transport-security': 'max-age=31536000; includeSubDomains; preload',
    server: 'demo-provider',
  };
}

function anthropicHeaders(): Record<string, string> {
  const id = `req_demo_${String(++answered).padStart(4, '0')}`;
  const reset = new Date(Date.now() + 60_000).toISOString();
  return {
    'request-id': id,
    'anthropic-organization-id': '00000000-0000-4000-8000-000000000000',
    'anthropic-ratelimit-requests-limit': '4000',
    'anthropic-ratelimit-requests-remaining': String(4_000 - answered),
    'anthropic-ratelimit-requests-reset': reset,
    'anthropic-ratelimit-tokens-limit': '400000',
    'anthropic-ratelimit-tokens-remaining': String(400_000 - 50 * answered),
    'anthropic-ratelimit-tokens-reset': reset,
    server: 'demo-provider',
  };
}

function json(response: ServerResponse, status: number, headers: Record<string, string>, body: unknown): void {
  const payload = JSON.stringify(body);
  response
    .writeHead(status, { ...headers, 'content-type': 'application/json', 'content-length': Buffer.byteLength(payload) })
    .end(payload);
}

async function stream(response: ServerResponse, headers: Record<string, string>, events: string[]): Promise<void> {
  response.writeHead(200, {
    ...headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-cache',
  });
  for (const event of events) {
    response.write(event);
    await sleep(WORD_MS);
  }
  response.end();
}

const openaiError = (message: string, type: string, code: string): unknown => ({
  error: { message, type, param: null, code },
});

async function chat({ model, stream: streamed }: Ask, response: ServerResponse): Promise<void> {
  const headers = openaiHeaders();
  if (model === 'demo-unknown') {
    return json(
      response,
      404,
      headers,
      openaiError('The model `demo-unknown` does not exist', 'invalid_request_error', 'model_not_found'),
    );
  }
  if (model === 'demo-busy') {
    const busy = {
      ...headers,
      'retry-after': '2',
      'x-ratelimit-remaining-requests': '0',
      'x-ratelimit-reset-requests': '2s',
    };
    return json(
      response,
      429,
      busy,
      openaiError('Rate limit reached for demo-busy', 'requests', 'rate_limit_exceeded'),
    );
  }
  if (model === 'demo-flaky' && ++flaky === 1) {
    return json(response, 503, headers, openaiError('The engine is overloaded', 'server_error', 'overloaded'));
  }
  const base = { id: `chatcmpl-demo${answered}`, created: Math.floor(Date.now() / 1000), model };
  if (streamed === true) {
    const chunk = (delta: unknown, finish: string | null): string =>
      `data: ${JSON.stringify({ ...base, object: 'chat.completion.chunk', choices: [{ index: 0, delta, finish_reason: finish }] })}\n\n`;
    const words = WORDS.map((content) => chunk({ content }, null));
    return stream(response, headers, [
      chunk({ role: 'assistant' }, null),
      ...words,
      chunk({}, 'stop'),
      'data: [DONE]\n\n',
    ]);
  }
  json(response, 200, headers, {
    ...base,
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: WORDS.join('') }, finish_reason: 'stop' }],
    usage: { prompt_tokens: 12, completion_tokens: 7, total_tokens: 19 },
  });
}

async function messages({ model, stream: streamed }: Ask, response: ServerResponse): Promise<void> {
  const headers = anthropicHeaders();
  const message = { id: `msg_demo${answered}`, type: 'message', role: 'assistant', model, stop_sequence: null };
  if (streamed === true) {
    const event = (type: string, data: object): string =>
      `event: ${type}\ndata: ${JSON.stringify({ type, ...data })}\n\n`;
    const delta = (text: string): string =>
      event('content_block_delta', { index: 0, delta: { type: 'text_delta', text } });
    return stream(response, headers, [
      event('message_start', {
        message: { ...message, content: [], stop_reason: null, usage: { input_tokens: 12, output_tokens: 1 } },
      }),
      event('content_block_start', { index: 0, content_block: { type: 'text', text: '' } }),
      ...WORDS.map(delta),
      event('content_block_stop', { index: 0 }),
      event('message_delta', { delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: { output_tokens: 7 } }),
      event('message_stop', {}),
    ]);
  }
  json(response, 200, headers, {
    ...message,
    content: [{ type: 'text', text: WORDS.join('') }],
    stop_reason: 'end_turn',
    usage: { input_tokens: 12, output_tokens: 7 },
  });
}

async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const ask = JSON.parse((await text(request)) || '{}') as Ask;
  if (request.url === '/v1/chat/completions') return chat(ask, response);
  if (request.url === '/v1/messages') return messages(ask, response);
  json(
    response,
    404,
    openaiHeaders(),
    openaiError(`Unknown path ${request.url}`, 'invalid_request_error', 'unknown_url'),
  );
}

const server = createServer((request, response) => void answer(request, response));
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
