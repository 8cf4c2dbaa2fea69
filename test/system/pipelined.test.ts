/**
 * Clients that pipeline to real servers, with bodies far longer than the window in both directions: every call that is not marked is the one that
 * the client made, hardly any is marked, and little is copied. Heads lie anywhere in segments, and what has no body says that it has one.
 */
import { mkdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Agent, askedId, field, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { findProgram, when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { Program, type ProgramOptions } from '../rig/program.ts';
import { nginxSite } from '../rig/servers/nginx.ts';
import type { Server } from '../rig/servers/server.ts';
import { nodeSite, pythonSite } from '../rig/servers/site.ts';

const SIZES = [10_000, 100_000, 1_000_000];
const BODILESS = ['HEAD:/bytes/100000:0', 'HEAD:/bytes/1000000:0', 'GET:/status/204:0'];
const gets = SIZES.map((n) => `GET:/bytes/${n}:0`);
const posts = SIZES.map((n) => `POST:/sink:${n}`);

/** nginx with files, by sendfile; one of them is not modified when it is asked so, and says how long it would be. */
function files(options: ProgramOptions): Promise<Server> {
  const folder = new Folder();
  mkdirSync(folder.file('bytes'));
  for (const n of SIZES) truncateSync(folder.write(`bytes/${n}`, ''), n);
  truncateSync(folder.write('since', ''), 100_000);
  return freePort().then((port) =>
    nginxSite({
      ...options,
      name: 'nginx',
      folder,
      port,
      events: 'worker_connections 64;',
      http: 'keepalive_requests 1000000; client_max_body_size 0; sendfile on; default_type text/plain; if_modified_since before;',
      server: `root ${folder.path};
    location = /sink { return 200 "ok\\n"; }
    location = /status/204 { return 204; }`,
    }),
  );
}

const servers: readonly (readonly [string, string, (options: ProgramOptions) => Promise<Server>, string[]])[] = [
  ['nginx', 'nginx', files, ['GET:/since:0']],
  ['node', 'python3', nodeSite, []],
  ['Python', 'python3', pythonSite, []],
];
const plans = { downloads: gets, uploads: posts, both: [...gets, ...posts, ...BODILESS] };

describe('pipelining', () => {
  for (const [name, needs, serve, more] of servers) {
    when(
      it,
      'root',
      'cgroup2',
      'bpf',
      'python3',
      needs,
    )(`to ${name}`, async () => {
      await using cgroup = new Cgroup('pipelined');
      await using agent = await Agent.start({ cgroups: [cgroup], config: 'capture:\n  ring: 67108864\n' });
      await using server = await serve({ cgroup });
      const truth: string[] = [];
      const command = [findProgram('python3')!, join(import.meta.dirname, 'pipelined/client.py'), String(server.port)];
      for (const [plan, paths] of Object.entries(plans)) {
        for (const ahead of [0, 3]) {
          const asked = [...paths, ...(plan === 'both' ? more : [])];
          await using client = new Program([...command, `${plan}${ahead}`, String(ahead), ...asked], { cgroup });
          const { code, stdout, stderr } = await client.wait(120_000);
          expect([code, stderr]).toEqual([0, '']);
          truth.push(...stdout.trim().split('\n'));
        }
      }
      expect(truth).toHaveLength(600);
      await agent.until((exchanges) => exchanges.length >= 2 * truth.length);
      const { exchanges, ended } = await agent.stop();
      for (const side of ['client', 'server'] as const) {
        const seen = exchanges.filter((e) => e.side === side);
        // Where a head overtook the end of the body before it, what follows may be missing, and is marked.
        const whole = seen.filter((e) => e.losses.length === 0);
        expect(whole.length, side).toBeGreaterThan(0.9 * truth.length);
        const told = whole.map(
          (e) => `${askedId(e)} ${e.request.method} ${e.response?.status} ${e.response?.body_bytes}`,
        );
        const known = new Set(truth);
        expect(told.filter((call) => !known.delete(call))).toEqual([]);
        const id = (e: LoggedExchange): string | undefined => field(e.request, 'x-request-id');
        expect(whole.filter((e) => id(e) !== askedId(e) || e.outcome !== 'complete')).toEqual([]);
        expect(whole.filter((e) => e.request.body_bytes !== Number(field(e.request, 'content-length') ?? 0))).toEqual(
          [],
        );
      }
      const [, all, copied] = /segments \d+ \((\d+) B\): copied (\d+) B/.exec(ended.stderr)!.map(Number);
      expect(copied! / all!).toBeLessThan(0.25);
    });
  }

  // A head that comes alone is read for what follows it in a connection's first 16 calls, and from when the client pipelines (bpf/length.h).
  for (const [plain, missed] of [
    [1, 0],
    [16, 0],
    [17, 10],
  ] as const) {
    when(
      it,
      'root',
      'cgroup2',
      'bpf',
      'python3',
    )(`from answer ${plain} on`, async () => {
      await using cgroup = new Cgroup('pipelined');
      await using agent = await Agent.start({ cgroups: [cgroup] });
      const command = [findProgram('python3')!, join(import.meta.dirname, 'pipelined/late.py'), String(plain), '2'];
      await using both = new Program(command, { cgroup });
      const { code, stdout, stderr } = await both.wait(60_000);
      expect([code, stderr]).toEqual([0, '']);
      const asked = stdout.trim().split('\n');
      await agent.until((exchanges) => exchanges.length >= 2 * asked.length);
      const { exchanges } = await agent.stop();
      for (const side of ['client', 'server'] as const) {
        const seen = exchanges.filter((e) => e.side === side);
        const answered = seen.filter((e) => e.response !== null);
        expect(answered.filter((e) => field(e.response!, 'x-request-id') !== askedId(e))).toEqual([]);
        expect(seen.length - answered.length, side).toBe(missed);
        // Behind what is missing each pair is marked: it could be that of a neighbour.
        const whole = seen.filter((e) => e.losses.length === 0 && e.outcome === 'complete');
        expect(whole.map(askedId)).toEqual(missed === 0 ? asked : asked.slice(0, plain - 1));
        expect(whole.filter((e) => e.response!.body_bytes !== 30_000)).toEqual([]);
      }
    });
  }
});
