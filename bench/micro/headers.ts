/**
 * What header variability costs a call: `node bench/micro/headers.ts [rounds]`. 12 + 12 fields over a hundred routes, as the line predictor
 * leaves them: all shared ("equal"), three of twelve values differing within small sets ("varying"), or ids that never come again ("unique");
 * and a client that never repeats an order ("shuffled"). Prints ns a call (a round of 256 is too short for the CPU clock), and what a window of it takes to seal, compare and encode.
 */
import { Memory } from '../../src/base/memory.ts';
import { Exchange } from '../../src/model/exchange.ts';
import { FieldLine, HeaderName } from '../../src/model/fields.ts';
import { Message } from '../../src/model/message.ts';
import { Fingerprinter } from '../../src/redact/fingerprint.ts';
import { CredentialPolicy } from '../../src/redact/policy.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { encodeHeaders } from '../../src/stats/headers/codec.ts';
import { HeaderGroup, HeaderStats } from '../../src/stats/headers/header-stats.ts';
import { REQUEST, RESPONSE } from '../gateway-call.ts';

const SHARED = [REQUEST, [...RESPONSE, ['X-Ratelimit-Limit-Requests', '10000']]] as const;
const VARYING = [
  ['X-Request-Id', 'Traceparent', 'Content-Length'],
  ['Date', 'X-Request-Id', 'Openai-Processing-Ms'],
] as const;

const names = new Map<string, HeaderName>();
function header(raw: string): HeaderName {
  const lower = raw.toLowerCase();
  let name = names.get(lower);
  if (name === undefined) {
    name = new HeaderName(names.size + 1, lower);
    names.set(lower, name);
  }
  return name;
}
const shared = SHARED.map((pairs) => pairs.map(([raw, value]) => new FieldLine(header(raw), raw, value)));
const varying = VARYING.map((raws) => raws.map((raw) => new FieldLine(header(raw), raw, null)));
const fixed = VARYING.map((raws) => raws.map((raw) => new FieldLine(header(raw), raw, 'the same all the time')));

const hex = (n: number, width: number): string =>
  (Math.imul(n + 1, 2654435761) >>> 0).toString(16).padStart(8, '0').repeat(4).slice(0, width);
const uuid = (n: number): string =>
  `${hex(n, 8)}-${hex(n + 1, 4)}-4${hex(n + 2, 3)}-8${hex(n + 3, 3)}-${hex(n + 4, 12)}`;

type Workload = 'equal' | 'varying' | 'unique' | 'shuffled';
/** As many as a busy agent's pool has in flight: messages are reused, so they are in the cache when they are counted. */
const CALLS = 256;
const ROUTES = 100;

function fill(message: Message, side: 0 | 1, n: number, workload: Workload): void {
  const block = message.fields;
  block.clear();
  const lines: FieldLine[] = [...shared[side]!, ...(workload === 'equal' ? fixed : varying)[side]!];
  if (workload === 'shuffled') {
    for (let i = lines.length - 1; i > 0; i--) {
      const j = Math.imul(n + i, 2654435761) % (i + 1);
      const other = lines[Math.abs(j)]!;
      lines[Math.abs(j)] = lines[i]!;
      lines[i] = other;
    }
  }
  const id = workload === 'varying' ? n % 40 : n;
  const values =
    side === 0
      ? [uuid(id), `00-${hex(id, 32)}-${hex(id + 6, 16)}-01`, `${n % 40}`]
      : [`Sun, 22 Nov 2026 16:04:${10 + (n % 40)} GMT`, uuid(id), `${n % 40}`];
  block.memory = Memory.from(Buffer.from(values.join(''), 'latin1'));
  let at = 0;
  let v = 0;
  for (const line of lines) {
    const length = line.value === null ? values[v++]!.length : line.value.length;
    block.push(line, line.value === null ? at : 0, length);
    if (line.value === null) at += length;
  }
}

const policy = new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 1)));
const redact = redactor(policy);
const rounds = Number(process.argv[2] ?? 800);
const groups = Array.from(
  { length: ROUTES },
  (_, i) => new HeaderGroup({ service: 'nginx.service', side: 'server', method: 'POST', route: `/v1/${i}/{id}` }),
);

for (const workload of ['equal', 'varying', 'unique', 'shuffled'] as const) {
  const stats = new HeaderStats({ key: Buffer.alloc(8, 7), anchor: { wallNs: 1_795_363_445_000_000_000n } });
  const exchanges = Array.from({ length: CALLS }, () => {
    const x = new Exchange();
    x.request = new Message();
    x.response = new Message();
    x.response.reset('response');
    return x;
  });
  const results: number[] = [];
  let n = 0;
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < CALLS; i++) {
      fill(exchanges[i]!.request!, 0, n + i, workload);
      fill(exchanges[i]!.response!, 1, n + i, workload);
    }
    const start = process.hrtime.bigint();
    for (let i = 0; i < CALLS; i++) {
      const x = redact(exchanges[i]!);
      const group = groups[i % ROUTES]!;
      const id = (): string => `bench-${n + i}`;
      stats.observe(group, 'request', x.request!.fields, id, (n + i) * 1e5);
      stats.observe(group, 'response', x.response!.fields, id, (n + i) * 1e5);
    }
    results.push(Number(process.hrtime.bigint() - start) / CALLS);
    n += CALLS;
  }
  results.sort((a, b) => a - b);
  const { bytes } = stats;
  const start = process.threadCpuUsage();
  const { state, changes } = stats.rotate(n * 1e5);
  const sealed = process.threadCpuUsage(start);
  const encoding = process.threadCpuUsage();
  const encoded = encodeHeaders(state);
  const written = process.threadCpuUsage(encoding);
  console.log(
    JSON.stringify({
      bench: 'headers',
      workload,
      unit: 'ns/call',
      median: Math.round(results[rounds >> 1]!),
      best: Math.round(results[0]!),
      window_bytes: bytes,
      seal_ms: (sealed.user + sealed.system) / 1_000,
      encode_ms: (written.user + written.system) / 1_000,
      encoded_bytes: encoded.length,
      calls: n,
      changes: changes.length,
    }),
  );
}
