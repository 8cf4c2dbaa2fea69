/**
 * R14 and R9 of the reliability figures: memory and descriptors of both processes over a long time, a line a minute.
 * `node bench/soak.ts [--minutes 30] [--rate 5000] [--visitors 0] [--hostile] [--store] [--idle-connections 10000]`
 * `--visitors`: so many connections a second come and go besides, in TLS and of HTTP/2 (visitors.ts).
 *
 * Prints the slope of RSS (least squares, the first third left out) in MiB an hour. Exit code 1 when descriptors grew, or, hostile, when RSS of both
 * processes together, looked at each second, passed 300 MiB. Slopes of short runs mean little: a page is 0.1 MiB an hour in two minutes.
 */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Folder } from '../test/rig/folder.ts';
import { Program } from '../test/rig/program.ts';
import { TlsHome } from '../test/rig/tls/servers.ts';
import { pssOf, rssNowOf, settled } from './measure.ts';
import { HeadwaterObserver } from './observers.ts';
import { Visits } from './visits.ts';
import { Workload } from './workload.ts';

const MIB = 1 << 20;
const HOSTILE_BYTES_MAX = 300 * MIB;
const CONNECTIONS = 64;
const HOSTILE = join(import.meta.dirname, 'hostile.ts');
/** What is logged and stored is thrown away as it comes: the disk is not what is tested. */
const CONFIG = 'log:\n  rotate:\n    size: 64MiB\n    keep: 1\nstore:\n  keep:\n    size: 256MiB\n';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    rate: { type: 'string', default: '5000' },
    visitors: { type: 'string', default: '0' },
    hostile: { type: 'boolean', default: false },
    store: { type: 'boolean', default: false },
    'idle-connections': { type: 'string', default: '8000' },
  },
});
const minutes = Number(values.minutes);
const rate = Number(values.rate);
const visitors = Number(values.visitors);

await using cgroup = new Cgroup('soak');
using folder = new Folder();
await using home = visitors > 0 ? await TlsHome.open() : null;
await using observer = await HeadwaterObserver.start(
  [cgroup],
  CONFIG,
  home !== null,
  values.store || values.hostile ? folder.file('data') : undefined,
);
const descriptors = (): number => observer.pids.reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);
const sum = (of: (pid: number) => number): number => observer.pids.reduce((total, pid) => total + of(pid), 0);

interface Mark {
  readonly minute: number;
  readonly rss: number;
  readonly descriptors: number;
}
const marks: Mark[] = [];
/** Of both at the same moment: their largest sizes were not at one. */
let most = 0;
const looking = setInterval(() => {
  most = Math.max(most, sum(rssNowOf));
}, 1_000);
const started = performance.now();
async function look(): Promise<void> {
  const { connections, ledger } = JSON.parse((await observer.agent.get('/v1/status')).body) as {
    connections: { open: number; total: number };
    ledger: { exchanges: number; requests: { lost: number } };
  };
  const mark = { minute: (performance.now() - started) / 60_000, rss: sum(rssNowOf), descriptors: descriptors() };
  marks.push(mark);
  process.stdout.write(
    `${mark.minute.toFixed(1)} min: RSS ${observer.pids.map((pid) => (rssNowOf(pid) / MIB).toFixed(1)).join(' + ')} = ${(mark.rss / MIB).toFixed(1)} MiB ` +
      `(at most ${(most / MIB).toFixed(0)}), PSS ${(pssOf(observer.pids) / MIB).toFixed(1)}, ${mark.descriptors} descriptors, ` +
      `${connections.open} of ${connections.total} connections, ${ledger.exchanges} exchanges, ${ledger.requests.lost} requests lost\n`,
  );
}

/** Least squares over all marks but the first third, MiB an hour. */
function slope(): number {
  const late = marks.slice(Math.floor(marks.length / 3));
  const x = late.reduce((total, { minute }) => total + minute, 0) / late.length;
  const y = late.reduce((total, { rss }) => total + rss, 0) / late.length;
  const over = late.reduce((total, { minute, rss }) => total + (minute - x) * (rss - y), 0);
  return (over / late.reduce((total, { minute }) => total + (minute - x) ** 2, 0) / MIB) * 60;
}

if (values.hostile) {
  await using server = new Program([process.execPath, HOSTILE, 'serve'], { cgroup });
  await server.until('a port', () => server.stdout.includes('\n'));
  await using attacker = new Program([
    process.execPath,
    HOSTILE,
    'attack',
    server.stdout.trim(),
    String(minutes * 60),
    values['idle-connections'],
  ]);
  for (let i = 0; i < minutes && attacker.running; i++) {
    await Promise.race([sleep(60_000), attacker.ended]);
    await look();
  }
  const { stdout, stderr } = await attacker.wait(60_000);
  process.stdout.write(`sent: ${stdout.trim()}${stderr}\n`);
} else {
  await using workload = await Workload.start(cgroup);
  await using visits = home === null ? null : await Visits.start(cgroup, home, visitors, minutes * 60);
  for (let i = 0; i < minutes; i++) {
    await workload.paced(rate, 60, CONNECTIONS);
    await look();
  }
  if (visits !== null) process.stdout.write(`visitors: ${await visits.ended()}\n`);
}
await settled(observer.pids);
clearInterval(looking);
await look();
const [first, last] = [marks[0]!, marks.at(-1)!];
process.stdout.write(
  `RSS slope ${slope().toFixed(2)} MiB/h; descriptors ${first.descriptors} to ${last.descriptors}\n`,
);
process.stdout.write(`${(await observer.lastWords()).losses}\n`);
const grown = !values.hostile && last.descriptors > first.descriptors;
process.exitCode = grown || (values.hostile && most > HOSTILE_BYTES_MAX) ? 1 : 0;
