/**
 * ns per head of the HTTP/1 parser: the same head again and again (equal), 3 of its values different (vary), values never
 * seen before (unique). Two directions, whole segments. Run: node bench/micro/h1.ts [rounds]
 */
import { Memory } from '../../src/base/memory.ts';
import { H1Shared } from '../../src/http/h1/shared.ts';
import { H1Stream } from '../../src/http/h1/stream.ts';
import { LossLedger } from '../../src/model/loss.ts';
import type { Message } from '../../src/model/message.ts';
import type { MessageSink } from '../../src/model/stages.ts';

const HEADS = 2_000;
const ROUNDS = Number(process.argv[2] ?? 40);

const hex = (n: number): string =>
  Math.imul(n + 1, 0x9e3779b1)
    .toString(16)
    .replace('-', '')
    .padStart(8, '0')
    .repeat(4);

function request(target: string, id: string, trace: string, token: string): string {
  return [
    `GET ${target} HTTP/1.1`,
    'Host: api.example.com',
    'User-Agent: OpenAI/Python 1.55.3',
    'Accept: application/json',
    'Accept-Encoding: gzip, deflate, br',
    'Connection: keep-alive',
    'Content-Type: application/json',
    `Authorization: Bearer ${token}`,
    'X-Stainless-Lang: python',
    'X-Stainless-Package-Version: 1.55.3',
    'X-Stainless-OS: Linux',
    'X-Stainless-Arch: x64',
    `X-Request-Id: ${id}`,
    `Traceparent: 00-${trace}-0102030405060708-01`,
    '',
    '',
  ].join('\r\n');
}

const VARIANTS: Record<string, (i: number) => string> = {
  equal: () => request('/v1/users/7', hex(1), hex(2), 'sk-test-0000000000000000000000000000'),
  vary: (i) => request('/v1/users/7', hex(i), hex(i + 7), `sk-test-${hex(i % 50)}`),
  unique: (i) => request(`/v1/users/${i}`, hex(i), hex(i * 3), `sk-test-${hex(i)}`),
};

class Count implements MessageSink {
  messages = 0;
  readonly #shared: H1Shared;
  constructor(shared: H1Shared) {
    this.#shared = shared;
  }
  head(): void {}
  interim(): void {}
  end(message: Message): void {
    this.messages++;
    this.#shared.pool.give(message);
  }
  requestFor(): Message | null {
    return null;
  }
}

for (const [name, make] of Object.entries(VARIANTS)) {
  const shared = new H1Shared();
  const sink = new Count(shared);
  const stream = new H1Stream('request', sink, shared, new LossLedger(), 'opened');
  let position = 0;
  let best = Number.POSITIVE_INFINITY;
  let bytes = 0;
  for (let round = 0; round < ROUNDS; round++) {
    const heads = Array.from({ length: HEADS }, (_, i) => Buffer.from(make(round * HEADS + i), 'latin1'));
    const memory = Memory.from(Buffer.concat(heads));
    const from = process.hrtime.bigint();
    let at = 0;
    for (const head of heads) {
      stream.data(memory, at, head.length, position, 1, -1);
      at += head.length;
      position += head.length;
    }
    const ns = Number(process.hrtime.bigint() - from) / HEADS;
    best = Math.min(best, ns);
    bytes = heads[0]!.length;
  }
  if (sink.messages !== HEADS * ROUNDS) throw new Error(`${sink.messages} messages`);
  console.log(`${name.padEnd(8)} ${best.toFixed(0).padStart(6)} ns per head of ${bytes} bytes`);
}
