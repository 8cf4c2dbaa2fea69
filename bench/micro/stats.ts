/**
 * What the statistics cost: `node bench/micro/stats.ts [rounds]`. ns a call, best and median of the rounds, for the
 * engine on calls as the pipeline gives them (32 connections, 8 routes), for its parts, and for the ways that others go: a
 * histogram of fixed buckets found by its labels' text in a Map, as metric clients do.
 */
import { Connection } from '../../src/model/connection.ts';
import { Exchange } from '../../src/model/exchange.ts';
import { LoadCounter } from '../../src/model/load.ts';
import { Message } from '../../src/model/message.ts';
import { KeepEverything } from '../../src/redact/policy.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { StatsEngine } from '../../src/stats/engine.ts';
import { errorClass } from '../../src/stats/error-class.ts';
import { buildReport } from '../../src/stats/report.ts';
import { COUNTER, encodeSeries, mergeSeries, SeriesState } from '../../src/stats/series.ts';
import { ExponentialHistogram } from '../../src/stats/sketch/histogram.ts';

const CALLS = 256;
const REPEATS = 1_000;
const rounds = Number(process.argv[2] ?? 7);

const load = new LoadCounter();
const connections = Array.from({ length: 32 }, (_, i) => {
  const c = new Connection(i + 1, { address: '127.0.0.1', port: 8080 }, { address: '127.0.0.1', port: 40_000 + i });
  c.side = 'server';
  c.service = 'nginx.service';
  c.load = load;
  return c;
});
const routes = [
  '/',
  '/v1/users/{id}',
  '/v1/orders',
  '/v1/orders/{id}',
  '/health',
  '/v1/chat/completions',
  '/login',
  '/a/b',
];
/** Latencies over three magnitudes, as a busy service has them. */
const latency = (n: number): number => Math.round(200_000 * 2 ** ((n * 0.618_033_988_75 * 10) % 10));
const exchanges = Array.from({ length: CALLS }, (_, n) => {
  const x = new Exchange();
  x.connection = connections[n % 32]!;
  x.ordinal = n + 1;
  x.outcome = 'complete';
  x.inFlight = (n % 32) + 1;
  x.route = routes[(n >> 3) % routes.length]!;
  x.request = new Message();
  x.request.method = 'POST';
  x.request.end = 'framed';
  x.request.firstByteAt = n * 10_000;
  x.request.lastByteAt = n * 10_000 + 1_200;
  x.request.headBytes = 500;
  x.request.bodyBytes = n % 700;
  x.response = new Message();
  x.response.reset('response');
  x.response.status = n % 50 === 0 ? 500 : 200;
  x.response.end = 'framed';
  x.response.firstByteAt = n * 10_000 + latency(n);
  x.response.lastByteAt = n * 10_000 + latency(n) + 10_000;
  x.response.headBytes = 520;
  x.response.bodyBytes = n % 2_048;
  return x;
});

const engine = new StatsEngine({
  anchor: { wallNs: 1_795_363_440_000_000_000n },
  id: (_, ordinal) => `bench-${ordinal}`,
});
const redact = redactor(new KeepEverything());
/** The same calls over 512 series in turn: what memory that is in no cache costs. */
const wide = new StatsEngine({
  anchor: { wallNs: 1_795_363_440_000_000_000n },
  id: (_, ordinal) => `bench-${ordinal}`,
});
const wideRoutes = Array.from({ length: 512 }, (_, i) => `/wide/${i}`);
let wideAt = 0;
const histogram = new ExponentialHistogram(1e9);
const state = new SeriesState();
let clock = 0;
let sink = 0;

/** The work of a metric client for one observation: the labels' text, its hash in a Map, the bucket by comparing bounds. */
const BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];
const labelled = new Map<string, { counts: Float64Array; sum: number }>();
function clientObserve(x: Exchange, seconds: number): void {
  const labels = `method:${x.request!.method},route:${x.route},service:${x.connection.service},status:${x.response!.status}`;
  let found = labelled.get(labels);
  if (found === undefined) {
    found = { counts: new Float64Array(BOUNDS.length + 1), sum: 0 };
    labelled.set(labels, found);
  }
  let b = 0;
  while (b < BOUNDS.length && seconds > BOUNDS[b]!) b++;
  found.counts[b]!++;
  found.sum += seconds;
}

const CASES: Record<string, (x: Exchange, n: number) => void> = {
  'all: observe() of the engine': (x) => engine.observe(redact(x)),
  'all, 512 series in turn': (x) => {
    const { route } = x;
    wideAt = (wideAt + 1) & 511;
    x.route = wideRoutes[wideAt]!;
    wide.observe(redact(x));
    x.route = route;
  },
  'of it the redacted view alone': (x) => {
    const view = redact(x);
    sink += view.request!.method.length + view.route.length + view.response!.status;
  },
  'response time: 5 histograms': (x) => {
    const [t0, t1] = [x.request!.firstByteAt, x.request!.lastByteAt];
    const [t2, t3] = [x.response!.firstByteAt, x.response!.lastByteAt];
    state.latencyAt(1).record(t3 - t0);
    state.ttfb.record(t2 - t0);
    state.upload.record(t1 - t0);
    state.think.record(t2 - t1);
    state.download.record(t3 - t2);
  },
  'errors: class and status': (x) => {
    sink += errorClass(x.outcome, x.response!.status);
    state.countStatus(x.response!.status);
  },
  'traffic: counters and two sizes': (x) => {
    const { counters } = state;
    counters[COUNTER.request_header]! += x.request!.headBytes;
    counters[COUNTER.request_body]! += x.request!.bodyBytes;
    counters[COUNTER.response_header]! += x.response!.headBytes;
    counters[COUNTER.response_body]! += x.response!.bodyBytes;
    state.requestBody.record(x.request!.bodyBytes);
    state.responseBody.record(x.response!.bodyBytes);
  },
  'load: arrival and end, in the pairing': () => {
    clock += 1_000;
    load.enter(clock - 400);
    load.leave(clock);
  },
  'one histogram, exponential': (x) => histogram.record(x.response!.lastByteAt - x.request!.firstByteAt),
  'one histogram, metric client': (x) => clientObserve(x, (x.response!.lastByteAt - x.request!.firstByteAt) / 1e9),
};

const results = new Map<string, number[]>(Object.keys(CASES).map((name) => [name, []]));
for (let round = 0; round < rounds + 3; round++) {
  for (const [name, run] of Object.entries(CASES)) {
    const before = performance.now();
    for (let repeat = 0; repeat < REPEATS; repeat++) for (let n = 0; n < CALLS; n++) run(exchanges[n]!, n);
    const ms = performance.now() - before;
    if (round >= 3) results.get(name)!.push((ms * 1e6) / (CALLS * REPEATS));
  }
}
for (const [name, values] of results) {
  values.sort((a, b) => a - b);
  console.log(
    `${name.padEnd(36)} best ${values[0]!.toFixed(1).padStart(7)}  median ${values[values.length >> 1]!.toFixed(1).padStart(7)} ns`,
  );
}
const best = (name: string): number => results.get(name)![0]!;
console.log(
  `metric client / exponential: ${(best('one histogram, metric client') / best('one histogram, exponential')).toFixed(1)}`,
);

const encoded = encodeSeries(state);
const into = new SeriesState();
const merges = 20_000;
const before = performance.now();
for (let i = 0; i < merges; i++)
  if (mergeSeries(into, encoded) !== null) throw new Error('a state of ours is not read back');
const mergedMs = performance.now() - before;
console.log(`a busy minute: ${encoded.length} B encoded, merged in ${((mergedMs * 1_000) / merges).toFixed(1)} us`);
const sealing = performance.now();
wide.finish();
const [sealed] = wide.sealed();
console.log(
  `a minute of ${sealed!.rows.length} series: sealed in ${(((performance.now() - sealing) * 1_000) / sealed!.rows.length).toFixed(1)} us each, ${Math.round(sealed!.bytes / sealed!.rows.length)} B each`,
);
const report = buildReport({ rows: engine.states(), sinceMs: 0, untilMs: 60_000, losses: [] });
console.log(`calls counted: ${report.ledger.exchanges}, ${sink > 0 ? 'done' : ''}`);
