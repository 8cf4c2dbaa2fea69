/**
 * The demo's clients, a process of its own: the real `openai` and `@anthropic-ai/sdk` packages talk to the gateway at
 * GATEWAY_URL, which is told with each call to pass it on to PROVIDER_URL. One call after the other, so that the legs of
 * a call can be told by time. Prints one JSON line for each call: a ClientReport.
 */
import Anthropic from '@anthropic-ai/sdk';
import OpenAI from 'openai';
import type { ClientReport } from './legs.ts';

const { GATEWAY_URL, PROVIDER_URL } = process.env as { GATEWAY_URL: string; PROVIDER_URL: string };

const openai = new OpenAI({
  apiKey: 'sk-demo-not-a-real-key-openai-0000',
  baseURL: `${GATEWAY_URL}/v1`,
  maxRetries: 0,
  defaultHeaders: { 'x-portkey-provider': 'openai', 'x-portkey-custom-host': `${PROVIDER_URL}/v1` },
});
const anthropic = new Anthropic({
  apiKey: 'sk-ant-demo-not-a-real-key-anthropic-0000',
  baseURL: GATEWAY_URL,
  maxRetries: 0,
  defaultHeaders: { 'x-portkey-provider': 'anthropic', 'x-portkey-custom-host': `${PROVIDER_URL}/v1` },
});
const retrying = JSON.stringify({ retry: { attempts: 1, on_status_codes: [503] } });

const ask = [{ role: 'user' as const, content: 'What is a headwater?' }];
const chat = (model: string, headers: Record<string, string> = {}): Promise<unknown> =>
  openai.chat.completions.create({ model, messages: ask }, { headers });

async function events(stream: AsyncIterable<unknown>): Promise<string> {
  let count = 0;
  for await (const _event of stream) count++;
  return `${count} events`;
}

const calls: readonly (readonly [title: string, call: () => Promise<unknown>])[] = [
  ['OpenAI SDK, chat completion', () => chat('demo-small')],
  [
    'OpenAI SDK, streamed chat completion',
    async () => events(await openai.chat.completions.create({ model: 'demo-small', messages: ask, stream: true })),
  ],
  ['Anthropic SDK, message', () => anthropic.messages.create({ model: 'demo-claude', max_tokens: 64, messages: ask })],
  [
    'Anthropic SDK, streamed message',
    async () =>
      events(await anthropic.messages.create({ model: 'demo-claude', max_tokens: 64, messages: ask, stream: true })),
  ],
  ['OpenAI SDK, a model that does not exist', () => chat('demo-unknown')],
  ['OpenAI SDK, over the rate limit', () => chat('demo-busy')],
  [
    'OpenAI SDK, a provider that fails once: the gateway tries again',
    () => chat('demo-flaky', { 'x-portkey-config': retrying }),
  ],
];

for (const [title, call] of calls) {
  const report = await call().then(
    (value): ClientReport => ({ title, result: typeof value === 'string' ? value : 'an answer' }),
    (error: { status?: number; message: string }): ClientReport => ({
      title,
      result: `error ${error.status ?? error.message}`,
    }),
  );
  console.log(JSON.stringify(report));
}
