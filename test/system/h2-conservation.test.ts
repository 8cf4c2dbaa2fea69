/**
 * R7 for HTTP/2 in cleartext: what h2load says it asked = requests read + requests counted as lost, without a difference, with a ring far too
 * small and a pipeline that does not read. Connections open, live and end in that time, so of some of them nothing at all is handed over.
 */
import { writeFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { listens } from '../../bench/workload.ts';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { findProgram, when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program } from '../rig/program.ts';
import { pidOf, statusOf } from './live/truth.ts';

const LOAD_TIMEOUT_MS = 200_000;

class Scene implements AsyncDisposable {
  readonly #folder: Folder;
  readonly #server: Program;
  readonly agent: Agent;
  asked = 0;

  private constructor(folder: Folder, server: Program, agent: Agent) {
    this.#folder = folder;
    this.#server = server;
    this.agent = agent;
  }

  static async start(cgroup: Cgroup, ring: string): Promise<Scene> {
    const folder = new Folder();
    const port = await freePort();
    const conf = folder.write(
      'nginx.conf',
      `daemon off; pid ${folder.file('pid')}; error_log ${folder.file('err')}; events { worker_connections 4096; }
       http { access_log off; keepalive_requests 100000000; server { listen 127.0.0.1:${port} http2;
         location / { add_header X-Id $arg_id; return 200 "$arg_id"; } } }`,
    );
    writeFileSync(
      folder.file('urls'),
      Array.from({ length: 1_000 }, (_, i) => `http://127.0.0.1:${port}/a/${i}?id=${i}\n`).join(''),
    );
    const server = new Program([findProgram('nginx')!, '-c', conf], { cgroup });
    await server.until('listening', () => listens(port));
    const agent = await Agent.start({ cgroups: [cgroup], config: `capture:\n  ring: ${ring}\n` });
    return new Scene(folder, server, agent);
  }

  /** `calls` over `connections`, each answered. */
  async load(calls: number, connections: number): Promise<void> {
    const said = await must(
      ['h2load', '-n', `${calls}`, '-c', `${connections}`, '-m', '10', '-i', this.#folder.file('urls')],
      { timeoutMs: LOAD_TIMEOUT_MS },
    );
    expect(said).toContain(`${calls} succeeded`);
    this.asked += calls;
  }

  /** Ends the agent: its last words. `logged`: requests that its log has. */
  async ledger(): Promise<{ seen: number; lost: number; logged: number; unknown: boolean; gapBytes: number }> {
    const { ended, exchanges } = await this.agent.stop();
    const [, seen, lost, more] = /requests (\d+) seen, (\d+) lost; responses .*?(may have had more calls|$)/m.exec(
      ended.stderr,
    )!;
    const logged = exchanges.filter(({ request }) => request !== null).length;
    // What the kernel counted as lost is not missed once more by whoever reads the stream.
    const gapBytes = Number(/ gap \d+ \((\d+) B\)/.exec(ended.stderr)?.[1] ?? 0);
    return { seen: Number(seen), lost: Number(lost), logged, unknown: more !== '', gapBytes };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}

const needs = when(it, 'root', 'cgroup2', 'bpf', 'nginx', 'h2load');

needs('connections that open, live and end while nobody reads: each call is read or counted as lost', async () => {
  await using cgroup = new Cgroup('h2-conserve');
  await using scene = await Scene.start(cgroup, '64KiB');
  const pipeline = pidOf(await statusOf(scene.agent), 'pipeline');
  await scene.load(500, 5);
  process.kill(pipeline, 'SIGSTOP');
  try {
    await scene.load(4_000, 40);
  } finally {
    process.kill(pipeline, 'SIGCONT');
  }
  await scene.load(500, 5);
  const { seen, lost, logged, unknown, gapBytes } = await scene.ledger();
  expect(seen + lost).toBe(scene.asked);
  // The ring holds no more than some hundred calls.
  expect(lost).toBeGreaterThan(2_000);
  expect(logged).toBe(seen);
  expect(unknown).toBe(false);
  expect(gapBytes).toBe(0);
});

needs('beyond what the ring carries, connections going on: each call is read or counted as lost', async () => {
  await using cgroup = new Cgroup('h2-conserve');
  await using scene = await Scene.start(cgroup, '64KiB');
  await scene.load(20_000, 10);
  await scene.load(20_000, 100);
  const { seen, lost, logged, gapBytes } = await scene.ledger();
  expect(seen + lost).toBe(scene.asked);
  expect(logged).toBe(seen);
  expect(gapBytes).toBe(0);
});
