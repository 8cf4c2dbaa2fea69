/**
 * `npm run bench`, or `npm run bench -- SECTION... [--rounds N] [--seconds N] [--quick]`: measures, prints a table for each
 * section and writes its rows to bench/out/SECTION.json. Exit code 1 when a row holds something that is no number.
 * docs/performance.md says how to read the figures.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { parseArgs } from 'node:util';
import { growth } from './growth.ts';
import { h2 } from './h2.ts';
import { idle } from './idle.ts';
import { kernel } from './kernel.ts';
import { live } from './live.ts';
import { lost } from './lost.ts';
import { memory } from './memory.ts';
import { OUT } from './out.ts';
import { profile } from './profile.ts';
import { replay } from './replay.ts';
import { scrape } from './scrape.ts';
import { scrapeLive } from './scrape-live.ts';
import { type Effort, type Section, unsound } from './section.ts';
import { statistics } from './statistics.ts';
import { store } from './store.ts';
import { sustained } from './sustained.ts';
import { tls } from './tls.ts';
import { tlsReplay } from './tls-replay.ts';
import { tlsServer } from './tls-server.ts';

const SECTIONS: readonly Section[] = [
  replay,
  live,
  kernel,
  lost,
  growth,
  idle,
  memory,
  statistics,
  sustained,
  profile,
  store,
  scrape,
  scrapeLive,
  tls,
  tlsServer,
  tlsReplay,
  h2,
];

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  },
});

function positive(name: 'rounds' | 'seconds', otherwise: number): number {
  const value = Number(values[name] ?? otherwise);
  if (Number.isInteger(value) && value > 0) return value;
  process.stderr.write(`bench: --${name} takes a whole number above 0, not ${values[name]}\n`);
  process.exit(2);
}

const effort: Effort = {
  rounds: positive('rounds', values.quick ? 1 : 5),
  seconds: positive('seconds', values.quick ? 1 : 5),
  quick: values.quick,
};
const unknown = positionals.find((name) => SECTIONS.every((section) => section.name !== name));
if (unknown !== undefined) {
  process.stderr.write(`bench: no section "${unknown}"; there are ${SECTIONS.map(({ name }) => name).join(', ')}\n`);
  process.exit(2);
}
if (process.getuid?.() !== 0) {
  process.stderr.write('bench: needs root: kernel programs are attached and packets captured\n');
  process.exit(3);
}

const memoryTotal = /^MemTotal:\s+(\d+) kB/m.exec(readFileSync('/proc/meminfo', 'utf8'))?.[1];
const machine = {
  kernel: release(),
  node: process.version,
  cpus: cpus().length,
  model: cpus()[0]?.model ?? 'unknown',
  memory_gib: Number(memoryTotal) / 2 ** 20,
};
const loads = (): string =>
  loadavg()
    .map((n) => n.toFixed(1))
    .join(' ');
process.stdout.write(
  `${machine.cpus} x ${machine.model}, Linux ${machine.kernel}, Node ${machine.node}; load average ${loads()}\n` +
    `${effort.rounds} rounds of ${effort.seconds} s; figures are the median (least to most) of the rounds\n`,
);
mkdirSync(OUT, { recursive: true });

/** What is wrong with its rows. */
async function run(section: Section): Promise<string[]> {
  const before = loads();
  const { rows, table } = await section.run(effort);
  process.stdout.write(`\n${section.title}\n${table}\n  load average ${before} before, ${loads()} after\n`);
  const record = { section: section.name, at: new Date().toISOString(), machine, effort, load_before: before, rows };
  writeFileSync(`${OUT}/${section.name}.json`, `${JSON.stringify(record, null, 1)}\n`);
  return rows.length === 0 ? ['no rows'] : unsound(rows);
}

let wrong = 0;
for (const section of SECTIONS) {
  if (positionals.length > 0 && !positionals.includes(section.name)) continue;
  for (const problem of await run(section)) {
    process.stderr.write(`bench: ${section.name}: ${problem}\n`);
    wrong++;
  }
}
process.exitCode = wrong > 0 ? 1 : 0;
