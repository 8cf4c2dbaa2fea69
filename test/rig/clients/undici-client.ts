/** Makes the calls that it reads as JSON from stdin (plan.ts) with undici, on one keep-alive pool. */
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { Agent, type Dispatcher, request } from 'undici';
import type { Answer, Call } from './plan.ts';

const dispatcher = new Agent({ connections: 1, keepAliveTimeout: 30_000 });
const answers: Answer[] = [];
for (const call of JSON.parse(await text(process.stdin)) as Call[]) {
  const { method = 'GET', url, headers, body, chunked, timeoutMs } = call;
  const pieces = async function* (): AsyncGenerator<string> {
    const half = Math.ceil(body!.length / 2);
    yield body!.slice(0, half);
    yield body!.slice(half);
  };
  try {
    const response = await request(url, {
      method: method as Dispatcher.HttpMethod,
      dispatcher,
      headers: headers ?? null,
      body: body === undefined ? null : chunked === true ? Readable.from(pieces()) : body,
      signal: timeoutMs === undefined ? null : AbortSignal.timeout(timeoutMs),
    });
    answers.push({ status: response.statusCode, body: await response.body.text() });
  } catch (error) {
    answers.push({ status: 0, body: '', error: String(error) });
  }
}
await dispatcher.close();
process.stdout.write(JSON.stringify(answers));
