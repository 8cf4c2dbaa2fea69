/** With programs in the kernel: what is left when either process is killed, and whose socket it is. */
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { LOOK_INTERVAL_MS } from '../../src/attacher/owners.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program } from '../rig/program.ts';
import { alive, mask, until } from './attacher/proc.ts';
import { TestAttacher } from './attacher/rig.ts';

const attached = async (cgroup: Cgroup): Promise<string> =>
  (await must(['bpftool', 'cgroup', 'show', cgroup.path])).trim();

const system = when(describe, 'root', 'cgroup2');
const withKernel = when(describe, 'root', 'cgroup2', 'bpf', 'bpftool');

withKernel('attached to the kernel', () => {
  const server = `import { createServer } from 'node:http';
createServer((q, r) => r.end('ok')).listen(0, '127.0.0.1', function () { console.log('port ' + this.address().port); });`;
  const caller = `import http from 'node:http';
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let calls = 0;
const next = () => http.get({ port: process.argv[2], agent }, (r) => {
  if (r.statusCode !== 200) process.exit(1);
  r.resume();
  r.on('end', () => { calls++; if (calls % 50 === 0) console.log(calls); setImmediate(next); });
}).on('error', () => process.exit(1));
next();`;

  /** A server in the cgroup and a client that calls it again and again over one connection. */
  async function callsIn(cgroup: Cgroup, folder: Folder): Promise<{ calling: Program } & AsyncDisposable> {
    await using resources = new AsyncDisposableStack();
    const serving = resources.use(new Program([process.execPath, folder.write('server.mjs', server)], { cgroup }));
    await serving.until('port', () => /port \d+\n/.test(serving.stdout));
    const port = /port (\d+)/.exec(serving.stdout)![1]!;
    const client = [process.execPath, folder.write('client.mjs', caller), port];
    const calling = resources.use(new Program(client, { cgroup }));
    const both = resources.move();
    return { calling, [Symbol.asyncDispose]: () => both.disposeAsync() };
  }

  it.each(['attacher', 'pipeline'] as const)(
    'SIGKILL of the %s: nothing attached, the client does not notice',
    async (victim) => {
      using folder = new Folder();
      await using cgroup = new Cgroup('att');
      await using both = await callsIn(cgroup, folder);
      await using attacher = await TestAttacher.start(folder, [cgroup], { attach: true });
      expect(await attached(cgroup)).toContain('headwater_in');
      process.kill(victim === 'attacher' ? attacher.pid : attacher.pipelinePid, 'SIGKILL');
      await attacher.program.ended;
      // Gone with the descriptors: the kernel releases them when the process is reaped.
      await until('detaching', async () => (await attached(cgroup)) === '');
      const { calling } = both;
      const before = calling.stdout.length;
      await calling.until('more calls', () => calling.stdout.length > before + 10);
      expect(calling.running).toBe(true);
      await until('end of the pipeline', () => !alive(attacher.pipelinePid));
    },
  );

  it('detaches before it drains, also when asked nicely', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup], { attach: true });
    const { maps } = await attacher.ask<{ maps: { name: string; fd: number }[] }>({ do: 'handover' });
    expect(maps.map((map) => map.name).sort()).toEqual(['control', 'counters', 'ring', 'unheard']);
    for (const { fd } of maps)
      expect(readFileSync(`/proc/${attacher.pipelinePid}/fdinfo/${fd}`, 'latin1')).toContain('map_type');
    expect((await attacher.stop()).code).toBe(0);
    expect(await attached(cgroup)).toBe('');
  });

  it('measures the programs for whoever asks, with a capability raised for a moment only', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using both = await callsIn(cgroup, folder);
    await both.calling.until('calls', () => both.calling.stdout.includes('50'));
    await using attacher = await TestAttacher.start(folder, [cgroup], { attach: true });
    const answer = await attacher.ask<{ ok: boolean; value: { name: string; run_count: number; avg_ns: number }[] }>({
      do: 'programs',
    });
    const incoming = answer.value.find((program) => program.name === 'headwater_in')!;
    expect(incoming.run_count).toBeGreaterThan(0);
    expect(incoming.avg_ns).toBeGreaterThan(0);
    expect(/^CapEff:\s*(.*)$/m.exec(readFileSync(`/proc/${attacher.pid}/status`, 'latin1'))![1]).toBe(
      mask(2, 5, 19, 39),
    );
  });

  it('observes a cgroup named twice, or inside another, once', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    const inner = cgroup.child('inner');
    await using attacher = await TestAttacher.start(folder, [inner, cgroup.path, cgroup.path], { attach: true });
    expect(attacher.program.stderr).toContain(`${inner} is inside another observed cgroup`);
    expect(await must(['bpftool', 'cgroup', 'show', inner])).toBe('');
    expect((await attached(cgroup)).match(/headwater_in/g)).toHaveLength(1);
  });
});

system('owners', () => {
  const ask = async (
    attacher: TestAttacher,
    cgroup: Cgroup,
    local: readonly [string, number],
    remote: readonly [string, number],
  ): Promise<unknown> => {
    const tuples = [
      {
        localAddress: local[0],
        localPort: local[1],
        remoteAddress: remote[0],
        remotePort: remote[1],
        cgroupId: cgroup.id,
      },
    ];
    const answer = await attacher.ask<{ ok: boolean; value: unknown[] }>({ do: 'owners', tuples });
    return answer.value[0];
  };
  const connected = (port: number, host = '127.0.0.1') =>
    new Promise<import('node:net').Socket>((resolve, reject) => {
      const socket = createConnection(port, host, () => resolve(socket)).on('error', reject);
    });

  it('a socket older than the agent: the process that holds it', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using serving = new Program(
      [
        process.execPath,
        folder.write(
          's.mjs',
          `import { createServer } from 'node:net'; createServer(() => console.log('accepted')).listen(0, '::', function () { console.log('port ' + this.address().port); });`,
        ),
      ],
      { cgroup },
    );
    await serving.until('port', () => /port \d+\n/.test(serving.stdout));
    const port = Number(/port (\d+)/.exec(serving.stdout)![1]);
    const four = await connected(port);
    const six = await connected(port, '::1');
    // A connection that waits in the backlog is nobody's yet.
    await serving.until('both accepted', () => serving.stdout.split('accepted').length > 2);
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const owner = {
      pid: serving.pid,
      name: expect.any(String),
      cgroup: cgroup.name,
      container: null,
      evidence: 'socket',
    };
    // Accepted on a dual-stack socket: the row is an IPv4-mapped one.
    expect(await ask(attacher, cgroup, ['127.0.0.1', port], ['127.0.0.1', four.localPort!])).toEqual(owner);
    await sleep(LOOK_INTERVAL_MS);
    expect(await ask(attacher, cgroup, ['::1', port], ['::1', six.localPort!])).toEqual(owner);
    await sleep(LOOK_INTERVAL_MS);
    expect(await ask(attacher, cgroup, ['127.0.0.1', 1], ['127.0.0.1', 2])).toBeNull();
    for (const socket of [four, six]) socket.destroy();
  });

  when(it, 'python3')('a forking server: the child that serves, or the group while both hold it', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    const source = `
import os, socket, sys, time
listener = socket.create_server(("127.0.0.1", 0))
print("port", listener.getsockname()[1], flush=True)
for mode in ("handed over", "shared"):
    connection, _ = listener.accept()
    child = os.fork()
    if child == 0:
        print(mode, os.getpid(), flush=True)
        time.sleep(60)
        os._exit(0)
    if mode == "handed over": connection.close()
time.sleep(60)`;
    await using serving = new Program(['python3', folder.write('fork.py', source)], { cgroup });
    await serving.until('port', () => /port \d+\n/.test(serving.stdout));
    const port = Number(/port (\d+)/.exec(serving.stdout)![1]);
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const first = await connected(port);
    await serving.until('a child', () => /handed over \d+/.test(serving.stdout));
    const child = Number(/handed over (\d+)/.exec(serving.stdout)![1]);
    await until('the parent to close', async () => {
      const owner = (await ask(attacher, cgroup, ['127.0.0.1', port], ['127.0.0.1', first.localPort!])) as {
        pid: number;
        evidence: string;
      } | null;
      return owner?.pid === child && owner.evidence === 'socket';
    });
    const second = await connected(port);
    await serving.until('two children', () => /shared \d+/.test(serving.stdout));
    await until('a new look', async () => {
      const owner = (await ask(attacher, cgroup, ['127.0.0.1', port], ['127.0.0.1', second.localPort!])) as {
        pid: number;
        evidence: string;
      } | null;
      return owner?.evidence === 'listener' && owner.pid === serving.pid;
    });
    // Not accepted: it waits in the backlog, and only the listener's group can be named.
    const waiting = await connected(port);
    await until('the group', async () => {
      const owner = (await ask(attacher, cgroup, ['127.0.0.1', port], ['127.0.0.1', waiting.localPort!])) as {
        pid: number;
        evidence: string;
      } | null;
      return owner?.evidence === 'listener' && owner.pid === serving.pid;
    });
    for (const socket of [first, second, waiting]) socket.destroy();
  });

  when(it, 'nginx')('nginx: the worker that serves, not the master', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    const port = await freePort();
    const config = `daemon off; pid ${folder.file('pid')}; worker_processes 2; error_log stderr; user root;
events {} http { access_log off; server { listen 127.0.0.1:${port}; location / { return 200 "ok"; } } }`;
    await using serving = new Program(['nginx', '-p', folder.path, '-c', folder.write('nginx.conf', config)], {
      cgroup,
    });
    await serving.until('listening', async () => {
      const probe = await connected(port).catch(() => null);
      probe?.destroy();
      return probe !== null;
    });
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const socket = await connected(port);
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    await new Promise((resolve) => socket.once('data', resolve));
    const owner = (await ask(attacher, cgroup, ['127.0.0.1', port], ['127.0.0.1', socket.localPort!])) as {
      pid: number;
      name: string;
      evidence: string;
    };
    expect(owner).toMatchObject({ name: 'nginx', evidence: 'socket' });
    expect(cgroup.pids()).toContain(owner.pid);
    expect(owner.pid).not.toBe(serving.pid);
    socket.destroy();
  });
});
