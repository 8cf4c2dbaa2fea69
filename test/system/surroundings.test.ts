/** The agent where a machine is not as usual: standard output as its log, a /proc that hides processes, a thousand connections at once. */
import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { Agent, HEADWATER, parseLog } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { raw } from '../rig/clients/raw.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { Program, run } from '../rig/program.ts';
import { nodeSite } from '../rig/servers/site.ts';
import { echoServer } from './live/echo.ts';
import { statusOf } from './live/truth.ts';

const needs = ['root', 'cgroup2', 'bpf'] as const;
const CONNECTIONS = 1_000;
const AT_ONCE = 100;
const get = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: raw.test\r\nConnection: close\r\n\r\n`;

/** In a mount namespace of its own, whose /proc shows nobody the processes of others (proc(5), hidepid). */
const HIDDEN = ['unshare', '--mount', 'sh', '-c', 'mount -t proc -o hidepid=2 proc /proc && exec "$@"', 'sh'];

when(it, ...needs)(
  'the log on standard output: it alone is there, and the ledger alone on standard error',
  async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('surroundings');
    await using server = await nodeSite({ cgroup });
    const socket = folder.file('s');
    const config = folder.write('headwater.yaml', 'tls:\n  secrets: false\n');
    const command = [HEADWATER, 'run', '--no-store', '--log', '-', '--socket', socket, '--config', config];
    await using agent = new Program([...command, '--cgroup', cgroup.path]);
    await agent.until('attaching', () => agent.stderr.includes('capturing '));
    await raw(server.port, [{ send: get('/small') }, { untilEnd: true }]);
    await agent.until('the call', () => agent.stdout.includes('\n'));
    // A file would be opened again.
    agent.signal('SIGHUP');
    await raw(server.port, [{ send: get('/count') }, { untilEnd: true }]);
    await agent.until('the second call', () => agent.stdout.split('\n').length > 2);
    const { code, stdout, stderr } = await agent.stop('SIGINT');
    expect(code, stderr).toBe(0);
    expect(parseLog(stdout).exchanges.map(({ request }) => request.target)).toEqual(['/small', '/count']);
    const [first, second, ...ledger] = stderr.trimEnd().split('\n');
    expect(first).toBe(`headwater: capturing ${cgroup.name}; status, tail: ${socket}`);
    expect(second).toMatch(/^headwater: ended \(SIGINT\) after /);
    for (const line of ledger) expect(line).toMatch(/^ {2}\S/);
    expect(ledger.at(-1)).toBe('  nothing was lost');
  },
);

when(
  it,
  ...needs,
  'unshare',
  'readable',
)('a /proc that hides processes: they are named all the same, and why says what hides them', async () => {
  using folder = new Folder();
  await using cgroup = new Cgroup('surroundings');
  await using server = await nodeSite({ cgroup });
  const log = folder.file('headers.ndjson');
  const socket = folder.file('s');
  const config = folder.write('headwater.yaml', 'tls:\n  secrets: false\n');
  const command = [HEADWATER, 'run', '--no-store', '--log', log, '--socket', socket, '--config', config];
  await using agent = new Program([...HIDDEN, ...command, '--cgroup', cgroup.path]);
  await agent.until('attaching', () => agent.stderr.includes('capturing '));
  const client = connect(server.port, '127.0.0.1').on('error', () => {});
  // The first answer names the process as the kernel does, until the attacher was asked: on the same connection, and on later ones.
  let last = '';
  await agent.until('the name of the program', async () => {
    client.write('GET /small HTTP/1.1\r\nHost: raw.test\r\n\r\n');
    await raw(server.port, [{ send: get('/small') }, { untilEnd: true }]);
    const { stdout } = await run(['tail', '-n', '2', log]);
    last = stdout;
    return stdout.split('"name":"node"').length === 3;
  });
  client.destroy();
  expect(last).toContain(`"service":"node:${server.port}"`);
  const pid = JSON.parse(last.split('\n')[0]!).process.pid as number;
  const why = [HEADWATER, 'why', `pid:${pid}`, '--socket', socket];
  const root = await run([...HIDDEN, ...why]);
  expect(root.stdout).toContain(`process ${pid} (node, cgroup ${cgroup.name})`);
  const nobody = await run([...HIDDEN, 'setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', ...why]);
  expect(nobody.stdout.replaceAll(/\s+/g, ' ')).toContain(
    `No process ${pid} is in sight: /proc hides those of other users`,
  );
  expect(nobody.code).toBe(1);
  const { code, stderr } = await agent.stop('SIGINT');
  expect(code, stderr).toBe(0);
});

when(
  it,
  ...needs,
  'unshare',
)('below a folder that only root may enter: stored, sealed and reported all the same', async () => {
  using folder = new Folder();
  await using cgroup = new Cgroup('surroundings');
  await using server = await nodeSite({ cgroup });
  const home = folder.file('home');
  mkdirSync(join(home, 'headwater'), { recursive: true });
  chmodSync(home, 0o700);
  const data = folder.file('data');
  const socket = folder.file('s');
  const config = folder.write('headwater.yaml', 'tls:\n  secrets: false\n');
  const mounted = `mount --bind '${join(import.meta.dirname, '../..')}' '${home}/headwater' && exec "$@"`;
  const command = [join(home, 'headwater/bin/headwater'), 'run', '--data', data, '--socket', socket];
  const placed = ['unshare', '--mount', 'sh', '-c', mounted, 'sh', ...command];
  await using agent = new Program([...placed, '--config', config, '--cgroup', cgroup.path]);
  await agent.until('attaching', () => agent.stderr.includes('capturing '));
  for (let n = 0; n < 3; n++) await raw(server.port, [{ send: get('/small') }, { untilEnd: true }]);
  // The range begins before the agent did, and no minute of the store is whole yet.
  let reported = '';
  const all = async (): Promise<boolean> => {
    reported = (await run([HEADWATER, 'report', '--since', '1h', '--json', '--socket', socket])).stdout;
    return (JSON.parse(reported) as { ledger: { exchanges: number } }).ledger.exchanges === 3;
  };
  // If a minute ends between two of the calls, it takes the end of the next one until they are in the store together.
  await agent.until('a report with the calls', all, 120_000);
  expect(JSON.parse(reported).routes).toMatchObject([{ method: 'GET', route: '/small', count: 3 }]);
  const { code, stderr } = await agent.stop('SIGINT');
  expect([code, stderr.split('\n')[1]]).toEqual([0, expect.stringMatching(/^headwater: ended \(SIGINT\) after /)]);
  expect(readdirSync(data, { recursive: true }).map(String)).toContainEqual(expect.stringMatching(/calls\.parquet$/));
});

when(
  it,
  ...needs,
  'nginx',
)('a thousand connections: each is counted, in status and in why', async () => {
  await using cgroup = new Cgroup('surroundings');
  await using server = await echoServer({ cgroup });
  await using agent = await Agent.start({ cgroups: [cgroup] });
  const sockets: Socket[] = [];
  try {
    for (let i = 0; i < CONNECTIONS; i += AT_ONCE) {
      const some = Array.from({ length: AT_ONCE }, () => connect(server.port, '127.0.0.1'));
      sockets.push(...some);
      await Promise.all(
        some.map((socket) => {
          socket.write('GET /open HTTP/1.1\r\nHost: raw.test\r\n\r\n');
          return new Promise((resolve, reject) => socket.once('data', resolve).once('error', reject));
        }),
      );
    }
    while ((await statusOf(agent)).ledger.exchanges < CONNECTIONS) await sleep(50);
    const status = await run([HEADWATER, 'status', '--socket', agent.socket]);
    expect(status.stdout).toMatch(/^connections +1,000 open \(1,000 http\), 1,000 in all/m);
    for (const target of [`:${server.port}`, `http://127.0.0.1:${server.port}/`]) {
      const why = await run([HEADWATER, 'why', target, '--socket', agent.socket]);
      expect(why.code, why.stderr).toBe(0);
      const counts = [
        ...why.stdout.replaceAll(/\s+/g, ' ').matchAll(/HTTP\/1: (\d+) calls? on (\d+) open connections?/g),
      ];
      expect(counts.reduce((sum, [, calls]) => sum + Number(calls), 0)).toBe(CONNECTIONS);
      expect(counts.reduce((sum, [, , open]) => sum + Number(open), 0)).toBe(CONNECTIONS);
    }
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});
