/**
 * Scrapes of a running agent that has a hundred thousand time series, while its servers answer 20,000 calls a second: how long the scraper
 * waits, and whether anything that passed meanwhile was lost.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { AgentStatus } from '../src/model/status.ts';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { freePort } from '../test/rig/ports.ts';
import { must, Program } from '../test/rig/program.ts';
import { type Spread, settled, spread } from './measure.ts';
import { HeadwaterObserver } from './observers.ts';
import { FORMATS } from './scrape.ts';
import { figure, section } from './section.ts';
import { generator, listens } from './workload.ts';

const SERVICES = 8;
/** Two of them make a route; none looks like an id. */
const WORDS = 'users orders items carts prices reviews images tags notes teams'.split(' ');
const WORDS_QUICK = 2;
/** Paths of a route by the id's last digit: nginx answers each with a status of its own. */
const STATUSES = [200, 201, 202, 203, 207, 226];
const CALLS_A_PATH = 40;
const CONNECTIONS = 32;
const RATE = 20_000;
const RATE_QUICK = 1_000;
const SCRAPES = 20;
const SCRAPES_QUICK = 2;
/** A scraper comes every 15 s; this is a hard one. */
const PAUSE_MS = 1_000;
const FILL_SECONDS = 2;
/** Load.c takes so many requests at a time. */
const TEMPLATES = 60;

interface LiveScrapeRow {
  readonly format: string;
  readonly time_series: number;
  readonly bytes: number;
  readonly scrapes: number;
  /** As the scraper sees it, from the connection to the last byte. */
  readonly ms: Spread | null;
  readonly p95_ms: number | null;
  /** Calls answered meanwhile, and how many of them the agent did not see. */
  readonly calls: number;
  readonly lost: number;
}

const conf = (ports: readonly number[], folder: Folder): string => `
daemon off; worker_processes 1; worker_rlimit_nofile 65536; pid ${folder.file('nginx.pid')}; error_log ${folder.file('error.log')} warn;
events { worker_connections 4096; }
http {
  client_body_temp_path ${folder.file('body')}; proxy_temp_path ${folder.file('proxy')}; fastcgi_temp_path ${folder.file('f')};
  uwsgi_temp_path ${folder.file('u')}; scgi_temp_path ${folder.file('s')};
  access_log off; keepalive_requests 1000000000;
  server {
    ${ports.map((port) => `listen 127.0.0.1:${port} backlog=4096;`).join(' ')}
    ${STATUSES.map((status, i) => `location ~ 0${i}$ { return ${status} "${'x'.repeat(50 * (i + 1))}"; }`).join('\n    ')}
  }
}`;

const head = (path: string): string =>
  `GET ${path} HTTP/1.1\r\nHost: api.example\r\nUser-Agent: bench/1\r\nAccept: application/json\r\nX-Request-Id: \0`;

async function calls(
  folder: Folder,
  ports: readonly number[],
  paths: readonly string[],
  rate: number,
  seconds: number,
) {
  const heads = folder.write('heads', paths.map(head).join(''));
  const args = [ports.join(','), CONNECTIONS, rate, seconds, heads].map(String);
  const out = await must([await generator(), ...args], { timeoutMs: (seconds + 60) * 1_000 });
  return (JSON.parse(out) as { requests: number }).requests;
}

async function scraped(listen: string, accept: string): Promise<{ ms: number; bytes: number }> {
  const command = [
    'curl',
    '-s',
    '-o',
    '/dev/null',
    '-H',
    `Accept: ${accept}`,
    '-w',
    '%{time_total} %{size_download} %{http_code}',
  ];
  const [seconds, bytes, status] = (await must([...command, `http://${listen}/metrics`])).split(' ').map(Number) as [
    number,
    number,
    number,
  ];
  if (status !== 200) throw new Error(`/metrics answers ${status}`);
  return { ms: seconds * 1_000, bytes };
}

async function measured(quick: boolean): Promise<LiveScrapeRow[]> {
  using folder = new Folder();
  await using cgroup = new Cgroup('bench');
  await must(['chmod', '755', folder.path]);
  const ports: number[] = [];
  while (ports.length < SERVICES) ports.push(await freePort());
  await using nginx = new Program(['nginx', '-c', folder.write('nginx.conf', conf(ports, folder))], { cgroup });
  await nginx.until('listening', () => ports.every(listens));
  const listen = `127.0.0.1:${await freePort()}`;
  // The log is another section: one call in a million is logged.
  const config = `log:\n  keep:\n    errors: false\n    share: 0.000001\nlisten: ${listen}\n`;
  await using observer = await HeadwaterObserver.start([cgroup], config);
  const words = quick ? WORDS.slice(0, WORDS_QUICK) : WORDS;
  const paths = words.flatMap((a) => words.flatMap((b) => STATUSES.map((_, i) => `/${a}/${b}/70${i}`)));
  for (let at = 0; at < paths.length; at += TEMPLATES) {
    const some = paths.slice(at, at + TEMPLATES);
    await calls(folder, ports, some, (some.length * ports.length * CALLS_A_PATH) / FILL_SECONDS, FILL_SECONDS);
  }
  await settled(observer.pids);
  const text = await (await fetch(`http://${listen}/metrics`)).text();
  const series = text.split('\n').filter((line) => line !== '' && !line.startsWith('#') && !line.includes('_created'));
  const rate = quick ? RATE_QUICK : RATE;
  const scrapes = quick ? SCRAPES_QUICK : SCRAPES;
  const seen = async (): Promise<number> => {
    await settled(observer.pids);
    return (JSON.parse((await observer.agent.get('/v1/status')).body) as AgentStatus).ledger.exchanges;
  };
  const rows: LiveScrapeRow[] = [];
  for (const [format, accept] of Object.entries({ 'not scraped': null, ...FORMATS })) {
    const before = await seen();
    const seconds = quick ? 2 : Math.ceil((scrapes * (PAUSE_MS + 300)) / 1_000);
    const load = calls(folder, ports, paths.slice(0, TEMPLATES), rate, seconds);
    const got: { ms: number; bytes: number }[] = [];
    for (let i = 0; accept !== null && i < scrapes; i++) {
      await sleep(PAUSE_MS);
      got.push(await scraped(listen, accept));
    }
    const answered = await load;
    const times = got.map(({ ms }) => ms).sort((a, b) => a - b);
    rows.push({
      format,
      time_series: series.length,
      bytes: got[0]?.bytes ?? 0,
      scrapes: got.length,
      ms: times.length === 0 ? null : spread(times),
      p95_ms: times[Math.ceil(0.95 * times.length) - 1] ?? null,
      calls: answered,
      lost: answered - ((await seen()) - before),
    });
  }
  return rows;
}

export const scrapeLive = section<LiveScrapeRow>({
  name: 'scrape-live',
  title: `Scrapes of a running agent beside ${RATE} calls a second, and the same without scrapes`,
  rows: ({ quick }) => measured(quick),
  columns: [
    ['format', ({ format }) => format],
    ['time series', ({ time_series }) => String(time_series)],
    ['MB', ({ bytes }) => (bytes / 1e6).toFixed(2)],
    ['scrapes', ({ scrapes }) => String(scrapes)],
    ['ms', ({ ms }) => (ms === null ? '' : figure(ms, 0))],
    ['p95', ({ p95_ms }) => p95_ms?.toFixed(0) ?? ''],
    ['calls meanwhile', ({ calls }) => String(calls)],
    ['lost', ({ lost }) => String(lost)],
  ],
});
