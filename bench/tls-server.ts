/**
 * What observing costs a TLS server, in CPU of its worker for each call of a steady load and for each handshake.
 *
 * Bare runs of one server differ by more than that. So there are two, alike, of which one is observed, and short pieces of load go to the one and the
 * other in turn; then the roles are swapped and it is done again: what differs between the servers falls out of the sum of both. The clients are stopped
 * and continued (SIGSTOP, SIGCONT), so all pieces of a phase run on the same connections.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cgroup } from '../test/rig/cgroup.ts';
import { Program } from '../test/rig/program.ts';
import { TlsHome } from '../test/rig/tls/servers.ts';
import { childrenOf, cpuOf, type Spread, spread } from './measure.ts';
import { HeadwaterObserver } from './observers.ts';
import { figure, section } from './section.ts';
import { Workload } from './workload.ts';

interface CostRow {
  readonly load: string;
  readonly rate_per_s: number;
  readonly observed: string;
  readonly pairs: number;
  readonly bare_us: Spread;
  /** Of each round: the mean of its pairs, both roles. */
  readonly more_us: Spread;
  /** 95 % of the mean, by Student's t over the rounds. */
  readonly interval_us: readonly [number, number];
}

interface Load {
  readonly name: string;
  readonly connections: number;
  readonly pauseMs: number;
}

const LOADS: readonly Load[] = [
  { name: 'calls', connections: 32, pauseMs: 3 },
  { name: 'calls', connections: 64, pauseMs: 3 },
  { name: 'handshakes', connections: 0, pauseMs: 0 },
];
const VARIANTS = [
  ['packets only', false],
  ['headwater', true],
] as const;
/** Of a piece: what the switch itself stirs up, and what is measured. */
const SETTLE_MS = 150;
const PIECE_MS = 450;
const TAP_MS = 1_000;
/** Student's t for 95 %, by degrees of freedom. */
const T95 = [Number.NaN, 12.71, 4.3, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23];

/** A server in a cgroup and on libraries of its own, which one can tap without the other. */
class Side implements AsyncDisposable {
  readonly cgroup: Cgroup;
  readonly #home: TlsHome;
  readonly #workload: Workload;
  readonly #load: Load;
  readonly #worker: readonly number[];
  #client: Program | null = null;

  private constructor(home: TlsHome, cgroup: Cgroup, workload: Workload, load: Load) {
    this.#home = home;
    this.cgroup = cgroup;
    this.#workload = workload;
    this.#load = load;
    this.#worker = childrenOf(workload.nginx.pid);
  }

  static async start(load: Load): Promise<Side> {
    const home = await TlsHome.open();
    const cgroup = new Cgroup('bench-tls');
    const tls = { certificate: home.folder.file('cert.pem'), key: home.folder.file('key.pem'), env: home.env };
    return new Side(home, cgroup, await Workload.start(cgroup, { tls, pauseMs: load.pauseMs }), load);
  }

  /** A client that stands still until its piece comes. */
  begin(): void {
    const { connections } = this.#load;
    const address = `127.0.0.1:${this.#workload.port}`;
    const handshakes = [
      'openssl',
      's_time',
      '-connect',
      address,
      '-new',
      '-time',
      '3600',
      '-tls1_3',
      '-www',
      '/v1/items/0',
    ];
    this.#client = connections > 0 ? this.#workload.endless(connections) : new Program(handshakes);
    this.#client.signal('SIGSTOP');
  }

  async end(): Promise<void> {
    this.#client!.signal('SIGCONT');
    await this.#client![Symbol.asyncDispose]();
  }

  /** A piece of load: microseconds of the worker for each call, or each connection, and how many there were a second. */
  async piece(): Promise<{ readonly us: number; readonly rate: number }> {
    const of = this.#load.connections > 0 ? 'calls' : 'connections';
    this.#client!.signal('SIGCONT');
    await sleep(SETTLE_MS);
    const [before, cpuBefore, at] = [await this.#workload.handled(), cpuOf(this.#worker), performance.now()];
    await sleep(PIECE_MS);
    const [after, cpu, ms] = [await this.#workload.handled(), cpuOf(this.#worker) - cpuBefore, performance.now() - at];
    this.#client!.signal('SIGSTOP');
    const done = after[of] - before[of];
    return { us: (cpu / done) * 1e6, rate: (done / ms) * 1e3 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#workload[Symbol.asyncDispose]();
    await this.cgroup[Symbol.asyncDispose]();
    await this.#home[Symbol.asyncDispose]();
  }
}

interface Phase {
  readonly more_us: number;
  readonly bare_us: number;
  readonly rate: number;
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** `pairs` of pieces, each in the order that the one before did not have. */
async function phase(observed: Side, bare: Side, secrets: boolean, pairs: number): Promise<Phase> {
  await using _ = await HeadwaterObserver.start([observed.cgroup], 'stats_only: true\n', secrets);
  await sleep(TAP_MS);
  for (const side of [observed, bare]) side.begin();
  try {
    for (const side of [observed, bare]) await side.piece();
    const more: number[] = [];
    const alone: number[] = [];
    const rates: number[] = [];
    for (let i = 0; i < pairs; i++) {
      const first = await (i % 2 === 0 ? observed : bare).piece();
      const second = await (i % 2 === 0 ? bare : observed).piece();
      const [with_, without] = i % 2 === 0 ? [first, second] : [second, first];
      more.push(with_.us - without.us);
      alone.push(without.us);
      rates.push(with_.rate, without.rate);
    }
    return { more_us: mean(more), bare_us: mean(alone), rate: mean(rates) };
  } finally {
    for (const side of [observed, bare]) await side.end();
  }
}

/** 95 % of the mean of `values`. */
function interval(values: readonly number[]): readonly [number, number] {
  const m = mean(values);
  const n = values.length;
  if (n < 2) return [m, m];
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - m) ** 2, 0) / (n - 1));
  const half = ((T95[n - 1] ?? 1.96) * deviation) / Math.sqrt(n);
  return [m - half, m + half];
}

export const tlsServer = section<CostRow>({
  name: 'tls-server',
  title: 'TLS 1.3: CPU of the server for each call of a steady load, and for each handshake',
  async rows({ rounds, seconds, quick }) {
    const pairs = 2 * seconds;
    const rows: CostRow[] = [];
    for (const load of quick ? LOADS.slice(1) : LOADS) {
      await using one = await Side.start(load);
      await using other = await Side.start(load);
      for (const [observed, secrets] of VARIANTS) {
        const more: number[] = [];
        const bare: number[] = [];
        const rates: number[] = [];
        for (let round = 0; round < rounds; round++) {
          const phases = [await phase(one, other, secrets, pairs), await phase(other, one, secrets, pairs)];
          more.push(mean(phases.map(({ more_us }) => more_us)));
          bare.push(mean(phases.map(({ bare_us }) => bare_us)));
          rates.push(...phases.map(({ rate }) => rate));
        }
        rows.push({
          load: load.name,
          rate_per_s: mean(rates),
          observed,
          pairs: 2 * pairs * rounds,
          bare_us: spread(bare),
          more_us: spread(more),
          interval_us: interval(more),
        });
      }
    }
    return rows;
  },
  columns: [
    ['', ({ load }) => load],
    ['a second', ({ rate_per_s }) => rate_per_s.toFixed(0)],
    ['', ({ observed }) => observed],
    ['pairs', ({ pairs }) => String(pairs)],
    ['bare us', ({ bare_us }) => figure(bare_us, 2)],
    ['more us', ({ more_us }) => figure(more_us, 2)],
    ['95 % of the mean', ({ interval_us: [low, high] }) => `${low.toFixed(2)} to ${high.toFixed(2)}`],
  ],
});
