/**
 * What the taps and decryption cost: nginx (one worker, TLS 1.3, ECDSA P-256) with and without the agent, on copies of its
 * libraries. `calls`: keep-alive at saturation, server, client and agent on the same cores. `handshakes`: a connection for each
 * call, as many as one client makes one after the other.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { Cgroup } from '../test/rig/cgroup.ts';
import { must } from '../test/rig/program.ts';
import { TlsHome } from '../test/rig/tls/servers.ts';
import { childrenOf, cpuOf, type Spread, settled, spread } from './measure.ts';
import { HeadwaterObserver, nobody, type Observer } from './observers.ts';
import { figure, microseconds, section, share } from './section.ts';
import { Workload } from './workload.ts';

interface TlsRow {
  readonly load: 'calls' | 'handshakes';
  readonly name: string;
  /** Throughput and server CPU divided by the mean of the bare server's just before and just after. */
  readonly kept: Spread;
  readonly server: Spread;
  readonly server_us: Spread;
  readonly agent_us: Spread | null;
  /** Calls that the agent did not report. */
  readonly lost: Spread | null;
}

interface Sample {
  readonly rate: number;
  readonly server_us: number;
  readonly agent_us: number;
  readonly lost: number | null;
}

const CONNECTIONS = 32;
const WARM_S = 1;
/** For the probe on libraries that nobody ran before. */
const TAP_MS = 1_000;

const VARIANTS = [
  ['packets only', (cgroup: Cgroup) => HeadwaterObserver.start([cgroup], 'stats_only: true\n')],
  ['headwater', (cgroup: Cgroup) => HeadwaterObserver.start([cgroup], 'stats_only: true\n', true)],
] as const;
const LOADS = ['calls', 'handshakes'] as const;

/** New connections, one after the other, each with one call; how many there were. */
async function connect(workload: Workload, seconds: number): Promise<number> {
  const address = `127.0.0.1:${workload.port}`;
  const args = ['-connect', address, '-new', '-time', String(seconds), '-tls1_3', '-www', '/v1/items/0'];
  const out = await must(['openssl', 's_time', ...args], { timeoutMs: (seconds + 30) * 1000 });
  return Number(/^(\d+) connections in \d+ real seconds/m.exec(out)?.[1]);
}

async function sample(
  home: TlsHome,
  load: (typeof LOADS)[number],
  seconds: number,
  observe: (cgroup: Cgroup) => Observer | Promise<Observer>,
): Promise<Sample> {
  await using cgroup = new Cgroup('bench-tls');
  await using observer = await observe(cgroup);
  const { folder, env } = home;
  const tls = { certificate: folder.file('cert.pem'), key: folder.file('key.pem'), env };
  await using workload = await Workload.start(cgroup, { tls });
  await sleep(TAP_MS);
  const run = async (s: number): Promise<{ calls: number; s: number }> => {
    if (load === 'handshakes') return { calls: await connect(workload, s), s };
    const { requests, duration_us } = await workload.load(s, CONNECTIONS);
    return { calls: requests, s: duration_us / 1e6 };
  };
  const warm = await run(WARM_S);
  await settled(observer.pids);
  const server = childrenOf(workload.nginx.pid);
  const [agentBefore, serverBefore] = [cpuOf(observer.pids), cpuOf(server)];
  const { calls, s } = await run(seconds);
  const serverCpu = cpuOf(server) - serverBefore;
  await settled(observer.pids);
  const agentCpu = cpuOf(observer.pids) - agentBefore;
  const reported = await observer.reported();
  return {
    rate: calls / s,
    server_us: (serverCpu / calls) * 1e6,
    agent_us: (agentCpu / calls) * 1e6,
    lost: reported === null ? null : Math.max(0, 1 - reported / (warm.calls + calls)),
  };
}

export const tls = section<TlsRow>({
  name: 'tls',
  title: 'TLS 1.3: what taps and decryption cost the server, and the agent',
  async rows({ rounds, seconds }) {
    await using home = await TlsHome.open();
    const rows: TlsRow[] = [];
    for (const load of LOADS) {
      const bare: Sample[] = [await sample(home, load, seconds, nobody)];
      const samples = VARIANTS.map((): Sample[] => []);
      const ratios = VARIANTS.map((): { kept: number; server: number }[] => []);
      for (let round = 0; round < rounds; round++) {
        for (const [i, [, observe]] of VARIANTS.entries()) {
          const one = await sample(home, load, seconds, observe);
          bare.push(await sample(home, load, seconds, nobody));
          const [before, after] = bare.slice(-2) as [Sample, Sample];
          samples[i]!.push(one);
          ratios[i]!.push({
            kept: (2 * one.rate) / (before.rate + after.rate),
            server: (2 * one.server_us) / (before.server_us + after.server_us),
          });
        }
      }
      rows.push({
        load,
        name: 'bare',
        kept: spread([1]),
        server: spread([1]),
        server_us: spread(bare.map(({ server_us }) => server_us)),
        agent_us: null,
        lost: null,
      });
      for (const [i, [name]] of VARIANTS.entries()) {
        const lost = samples[i]!.flatMap((one) => (one.lost === null ? [] : [one.lost]));
        rows.push({
          load,
          name,
          kept: spread(ratios[i]!.map(({ kept }) => kept)),
          server: spread(ratios[i]!.map(({ server }) => server)),
          server_us: spread(samples[i]!.map(({ server_us }) => server_us)),
          agent_us: spread(samples[i]!.map(({ agent_us }) => agent_us)),
          // Without secrets no call can be reported.
          lost: name === 'headwater' ? spread(lost) : null,
        });
      }
    }
    return rows;
  },
  columns: [
    ['', ({ load }) => load],
    ['', ({ name }) => name],
    ['throughput kept', ({ kept }) => figure(kept, 2)],
    ['server CPU, times', ({ server }) => figure(server, 2)],
    ['server us', ({ server_us }) => figure(server_us, 1)],
    ['agent us', ({ agent_us }) => microseconds(agent_us)],
    ['calls not reported', ({ lost }) => share(lost)],
  ],
});
