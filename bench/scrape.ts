/** What a whole scrape costs: a hundred thousand time series over a real socket, and how long capture waits meanwhile. */
import type { Server } from 'node:http';
import { StatisticsMetrics } from '../src/export/prometheus/statistics.ts';
import { listenTcp } from '../src/serve/listen.ts';
import { publicServer } from '../src/serve/public.ts';
import type { HistorySource } from '../src/serve/v1.ts';
import { sampleSource } from '../test/fixtures/samples.ts';
import { Random } from '../test/fuzz/random.ts';
import { must } from '../test/rig/program.ts';
import { connectionOf, StatsRig } from '../test/unit/stats-rig.ts';
import { type Spread, spread } from './measure.ts';
import { figure, section } from './section.ts';

const SERVICES = 8;
const CALLS_A_ROUTE = 60;
/** Routes of all services together that make about 100,000 time series in the text. */
const ROUTES = 740;
const ROUTES_QUICK = 20;
/** Scrapes before those that count: labels are rendered once, code is compiled. */
const WARM = 3;
export const FORMATS = {
  text: 'application/openmetrics-text',
  protobuf: 'application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited',
} as const;

interface ScrapeRow {
  readonly format: string;
  readonly gzip: boolean;
  /** Samples in the text: the same statistics in both formats. */
  readonly time_series: number;
  readonly bytes: number;
  /** As the scraper sees it. */
  readonly ms: Spread;
  /** CPU of the process that answers, all its threads. */
  readonly cpu_ms: Spread;
  /** Most CPU that the main thread used between two turns of its event loop: so long capture waits, on a machine that is not busy. */
  readonly turn_ms: Spread;
}

function filled(routes: number): StatsRig {
  const rig = new StatsRig();
  const random = new Random(1);
  for (let r = 0; r < routes; r++) {
    const connection = connectionOf(`service-${r % SERVICES}`);
    for (let i = 0; i < CALLS_A_ROUTE; i++) {
      const t0 = (r * CALLS_A_ROUTE + i) * 1e6;
      const ms = 2 ** (random.below(10_000) / 1_000) * 1e6;
      rig.call({
        connection,
        route: `/v1/resource-${r}/{id}`,
        method: r % 3 === 0 ? 'POST' : 'GET',
        status: [200, 200, 200, 204, 404, 500][random.below(6)]!,
        inFlight: 1 + random.below(16),
        times: [t0, t0 + 1e4, t0 + ms * 0.9, t0 + ms],
        bytes: [300, random.below(5_000), 200, random.below(100_000)],
      });
    }
  }
  return rig;
}

const noHistory = null as unknown as HistorySource;

async function serve(rig: StatsRig): Promise<{ server: Server; address: string }> {
  const metrics = new StatisticsMetrics(rig.engine);
  const source = {
    status: sampleSource(),
    createdMs: Date.now(),
    statistics: metrics.write.bind(metrics, null),
  };
  const server = publicServer(source, noHistory, null);
  const listening = await listenTcp(server, '127.0.0.1', 0);
  if (!listening.ok) throw new Error(listening.message);
  return { server, address: listening.address };
}

const threadCpuMs = (): number => {
  const { user, system } = process.threadCpuUsage();
  return (user + system) / 1_000;
};

/** The longest turn of the event loop, in CPU, while `work` is on its way. Costs CPU itself. */
async function longestTurn(work: Promise<unknown>): Promise<number> {
  let longest = 0;
  let last = threadCpuMs();
  let running = true;
  const look = (): void => {
    const now = threadCpuMs();
    longest = Math.max(longest, now - last);
    last = now;
    if (running) setImmediate(look);
  };
  setImmediate(look);
  await work;
  running = false;
  return longest;
}

async function scraped(address: string, accept: string, gzip: boolean) {
  const args = ['-s', '-o', '/dev/null', '-H', `Accept: ${accept}`, ...(gzip ? ['-H', 'Accept-Encoding: gzip'] : [])];
  const command = ['curl', ...args, '-w', '%{time_total} %{size_download} %{http_code}', `http://${address}/metrics`];
  const before = process.cpuUsage();
  const result = await must(command);
  const { user, system } = process.cpuUsage(before);
  const [seconds, bytes, status] = result.split(' ').map(Number) as [number, number, number];
  if (status !== 200) throw new Error(`/metrics answers ${status}`);
  return { ms: seconds * 1_000, bytes, turnMs: await longestTurn(must(command)), cpuMs: (user + system) / 1_000 };
}

export const scrape = section<ScrapeRow>({
  name: 'scrape',
  title: 'Scrape: a full answer of /metrics over loopback (curl), and the longest time in which nothing else ran',
  async rows({ rounds, quick }) {
    const { server, address } = await serve(filled(quick ? ROUTES_QUICK : ROUTES));
    try {
      const text = await (await fetch(`http://${address}/metrics`)).text();
      const series = text
        .split('\n')
        .filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_created'));
      const cases = Object.entries(FORMATS).flatMap(([format, accept]) =>
        [false, true].map((gzip) => ({ format, accept, gzip, got: [] as Awaited<ReturnType<typeof scraped>>[] })),
      );
      for (let round = -WARM; round < rounds; round++) {
        for (const { accept, gzip, got } of cases) {
          const one = await scraped(address, accept, gzip);
          if (round >= 0) got.push(one);
        }
      }
      return cases.map(({ format, gzip, got }) => ({
        format,
        gzip,
        time_series: series.length,
        bytes: got[0]!.bytes,
        ms: spread(got.map(({ ms }) => ms)),
        cpu_ms: spread(got.map(({ cpuMs }) => cpuMs)),
        turn_ms: spread(got.map(({ turnMs }) => turnMs)),
      }));
    } finally {
      server.close();
      server.closeAllConnections();
    }
  },
  columns: [
    ['format', ({ format, gzip }) => `${format}${gzip ? ', gzip' : ''}`],
    ['time series', ({ time_series }) => String(time_series)],
    ['MB', ({ bytes }) => (bytes / 1e6).toFixed(2)],
    ['ms', ({ ms }) => figure(ms, 0)],
    ['CPU ms', ({ cpu_ms }) => figure(cpu_ms, 0)],
    ['longest turn, CPU ms', ({ turn_ms }) => figure(turn_ms, 1)],
  ],
});
