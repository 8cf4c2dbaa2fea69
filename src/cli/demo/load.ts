/**
 * The demo's busy clients, a process of its own: the `openai` package, 1, 2, 4, ... calls at a time, each load for a moment.
 * Then they stop, and come back as a newer version: the change that the statistics are to find. Prints one JSON line for each load: a LoadStep.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI from 'openai';
import type { LoadStep } from './legs.ts';

const { GATEWAY_URL, PROVIDER_URL } = process.env as { GATEWAY_URL: string; PROVIDER_URL: string };

const LOADS = [1, 2, 4, 8, 16];
const STEP_MS = 1_000;
/** A call that ends within the time of a step frees its place; the next step begins when all have. */
const PAUSE_MS = 50;
/** The last load goes on for so many steps with the old version. */
const LAST_STEPS = 2;
/** And with the new one: on a busy machine its first window may have calls of the old one too, which proves nothing. */
const NEW_STEPS = 4;
/** The clients stop to be updated: longer than a window of the statistics. */
const UPDATE_MS = 2_100;

const clientOf = (version: string): OpenAI =>
  new OpenAI({
    apiKey: 'sk-demo-not-a-real-key-openai-0000',
    baseURL: `${GATEWAY_URL}/v1`,
    maxRetries: 0,
    defaultHeaders: {
      'x-client-version': version,
      'x-portkey-provider': 'openai',
      'x-portkey-custom-host': `${PROVIDER_URL}/v1`,
    },
  });

async function step(openai: OpenAI, load: number, ms: number): Promise<void> {
  const end = performance.now() + ms;
  let calls = 0;
  const worker = async (): Promise<void> => {
    while (performance.now() < end) {
      await openai.chat.completions.create({ model: 'demo-small', messages: [{ role: 'user', content: 'Again?' }] });
      calls++;
    }
  };
  await Promise.all(Array.from({ length: load }, worker));
  const report: LoadStep = { load, calls };
  console.log(JSON.stringify(report));
  await sleep(PAUSE_MS);
}

const old = clientOf('1.4.0');
for (const load of LOADS) await step(old, load, load === LOADS.at(-1) ? LAST_STEPS * STEP_MS : STEP_MS);
await sleep(UPDATE_MS);
await step(clientOf('1.5.0'), LOADS.at(-1)!, NEW_STEPS * STEP_MS);
