/**
 * What a line of the header log costs: `node bench/micro/log.ts [rounds]`. 12 + 15 fields, four of them different in every
 * message, the rest shared as the line predictor leaves them; redaction, JSON text and the copy into a batch. Prints ns of CPU
 * time an exchange, and of one latin1Slice of 36 bytes as a measure of the machine.
 */
import { TimeFormatter } from '../../src/base/clock.ts';
import { LineBuffer } from '../../src/export/log/line.ts';
import { NdjsonFormat } from '../../src/export/log/ndjson.ts';
import { Connection } from '../../src/model/connection.ts';
import { Exchange } from '../../src/model/exchange.ts';
import { Message } from '../../src/model/message.ts';
import { Fingerprinter } from '../../src/redact/fingerprint.ts';
import { CredentialPolicy } from '../../src/redact/policy.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { fill, REQUEST_LINES, responseLines } from '../gateway-call.ts';

const RESPONSE_LINES = responseLines(
  [
    ['X-Content-Type-Options', 'nosniff'],
    ['X-Ratelimit-Limit-Requests', '10000'],
    ['Alt-Svc', 'h3=":443"; ma=86400'],
  ],
  'Date',
  'X-Request-Id',
  'Openai-Processing-Ms',
  'Content-Length',
);

const hex = (n: number, width: number): string =>
  (Math.imul(n + 1, 2654435761) >>> 0).toString(16).padStart(width, 'a5f3').slice(0, width);
/** As many as a busy agent's pool has in flight: messages are reused, so they are in the cache when they are printed. */
const CALLS = 256;
const REPEATS = 16;
const connections = Array.from({ length: 32 }, (_, i) => {
  const c = new Connection(i + 1, { address: '127.0.0.1', port: 8080 }, { address: '127.0.0.1', port: 40_000 + i });
  c.side = 'server';
  c.clientDirection = 0;
  c.service = 'nginx.service';
  return c;
});
const exchanges = Array.from({ length: CALLS }, (_, n) => {
  const x = new Exchange();
  x.connection = connections[n % connections.length]!;
  x.ordinal = n;
  x.outcome = 'complete';
  x.inFlight = (n % 32) + 1;
  x.route = '/v1/users/{id}';
  x.request = new Message();
  x.request.method = 'POST';
  x.request.target = `/v1/users/${n}?x=1`;
  x.request.firstByteAt = n * 10_000;
  x.request.lastByteAt = n * 10_000 + 1_200;
  x.request.headBytes = 500;
  x.response = new Message();
  x.response.reset('response');
  x.response.status = 200;
  x.response.reason = 'OK';
  x.response.firstByteAt = n * 10_000 + 500_000 + (n % 977);
  x.response.lastByteAt = n * 10_000 + 510_000 + (n % 977);
  x.response.headBytes = 520;
  x.response.bodyBytes = n % 2_048;
  const request = `${hex(n, 8)}-${hex(n + 1, 4)}-4${hex(n + 2, 3)}-8${hex(n + 3, 3)}-${hex(n + 4, 12)}`;
  fill(x.request, REQUEST_LINES, [request, `00-${hex(n, 16)}${hex(n + 5, 16)}-${hex(n + 6, 16)}-01`, `${n % 2_000}`]);
  fill(x.response, RESPONSE_LINES, ['Sun, 22 Nov 2026 16:04:05 GMT', request, `${n % 800}`, `${n % 2_048}`]);
  return x;
});

const redact = redactor(new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 1))));
const format = new NdjsonFormat({
  id: (c, ordinal) => `bench-${c.id.toString(36)}-${ordinal.toString(36)}`,
  time: new TimeFormatter({ wallNs: 1_795_363_445_000_000_000n }),
});
const line = new LineBuffer();
const batch = Buffer.alloc(128 << 10);

const rounds = Number(process.argv[2] ?? 100);
const results: number[] = [];
let bytes = 0;
for (let round = 0; round < rounds; round++) {
  const start = process.threadCpuUsage();
  let at = 0;
  bytes = 0;
  for (let repeat = 0; repeat < REPEATS; repeat++) {
    for (const x of exchanges) {
      line.clear();
      format.encode(redact(x), line);
      if (at + line.length > batch.length) at = 0;
      at += line.bytes.copy(batch, at, 0, line.length);
      bytes += line.length;
    }
  }
  const used = process.threadCpuUsage(start);
  results.push(((used.user + used.system) * 1_000) / (CALLS * REPEATS));
}
const measure = Buffer.alloc(36, 'a');
const sliceStart = process.threadCpuUsage();
let sliced = 0;
for (let i = 0; i < 1_000_000; i++) sliced += measure.latin1Slice(0, 30 + (i & 3)).length;
const sliceUsed = process.threadCpuUsage(sliceStart);
results.sort((a, b) => a - b);
console.log(
  JSON.stringify({
    bench: 'log',
    unit: 'ns/exchange',
    median: Math.round(results[rounds >> 1]!),
    best: Math.round(results[0]!),
    line_bytes: Math.round(bytes / (CALLS * REPEATS)),
    latin1_slice: Math.round((sliceUsed.user + sliceUsed.system) / 1_000),
    sliced,
  }),
);
