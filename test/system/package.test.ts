/** What is published works where it is installed: compiled, without the repository around it. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { ACK, FIN, PcapWriter, PSH, SYN } from '../fixtures/pcap/write.ts';
import { parseLog } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { missing, when } from '../rig/need.ts';
import { must, Program, run } from '../rig/program.ts';
import { nodeSite } from '../rig/servers/site.ts';

const ROOT = join(import.meta.dirname, '../..');

/** One call on one connection. */
function capture(): Buffer {
  const client = { src: '192.0.2.1', dst: '192.0.2.2', sport: 40_000, dport: 80 };
  const server = { src: '192.0.2.2', dst: '192.0.2.1', sport: 80, dport: 40_000 };
  const request = 'GET /packaged HTTP/1.1\r\nHost: example.test\r\n\r\n';
  const response = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const at = (ms: number): bigint => 1_795_000_000_000_000_000n + BigInt(ms) * 1_000_000n;
  const writer = new PcapWriter();
  writer.packet({ ...client, seq: 100, flags: SYN, ts: at(0) });
  writer.packet({ ...server, seq: 500, ack: 101, flags: SYN | ACK, ts: at(1) });
  writer.packet({ ...client, seq: 101, ack: 501, flags: PSH | ACK, payload: request, ts: at(2) });
  writer.packet({ ...server, seq: 501, ack: 101 + request.length, flags: PSH | ACK, payload: response, ts: at(3) });
  writer.packet({ ...client, seq: 101 + request.length, ack: 501 + response.length, flags: FIN | ACK, ts: at(4) });
  return writer.bytes();
}

const folder = new Folder();
const options = { cwd: folder.path };
const headwater = folder.file('node_modules/.bin/headwater');
let tarball = '';

beforeAll(async () => {
  if (missing('npm', 'bpf') !== null) return;
  tarball = (await must([join(ROOT, 'tools/package'), folder.path], { timeoutMs: 120_000 })).trim();
  folder.write('package.json', '{"private":true}');
  const install = ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', tarball];
  await must(install, { cwd: folder.path, timeoutMs: 180_000 });
}, 360_000);
afterAll(() => folder[Symbol.dispose]());

when(
  it,
  'npm',
  'bpf',
)('the package installs into an empty folder and runs there', async () => {
  const { version } = JSON.parse(await must(['cat', join(ROOT, 'package.json')])) as { version: string };
  expect(await must([headwater, '--version'], options)).toBe(`${version}\n`);

  writeFileSync(folder.file('call.pcap'), capture());
  const { exchanges, summary } = parseLog(await must([headwater, 'replay', 'call.pcap'], options));
  expect(exchanges).toMatchObject([
    { request: { method: 'GET', target: '/packaged' }, response: { status: 200, body_bytes: 2 }, outcome: 'complete' },
  ]);
  expect(summary).toMatchObject({ exchanges: 1, losses: [] });

  const listing = await must(['tar', 'tzf', tarball]);
  for (const part of [
    'bpf/build/headwater.x86.bpf.o',
    'bpf/build/headwater.arm64.bpf.o',
    'LICENSE',
    'docs/config.schema.json',
  ]) {
    expect(listing).toContain(`package/${part}\n`);
  }
  expect(listing).not.toMatch(/\.test\.|\.ts\n.*test/);

  // Its packages are for development: the demo says so instead of failing somewhere in the middle.
  const demo = await run([headwater, 'demo'], options);
  expect(demo.code).toBe(3);
  expect(demo.stderr).toContain('@portkey-ai/gateway');
});

when(
  it,
  'npm',
  'bpf',
)('installed for everybody it brings its command and its manual page', async () => {
  const prefix = folder.file('global');
  const install = ['npm', 'install', '--global', '--prefix', prefix, '--ignore-scripts', '--no-audit', '--no-fund'];
  await must([...install, '--prefer-offline', tarball], { timeoutMs: 180_000 });
  expect(await must([join(prefix, 'bin/headwater'), '--help'])).toContain('Usage: headwater');
  expect(readFileSync(join(prefix, 'share/man/man1/headwater.1'), 'utf8')).toContain('.TH HEADWATER 1');
});

/** As docs/environment.md gives them to a user. */
const CAPABILITIES = '+bpf,+perfmon,+net_admin';
const USER = ['setpriv', '--reuid', '12345', '--regid', '12345', '--clear-groups'];
const AS_USER = [...USER, '--inh-caps', CAPABILITIES, '--ambient-caps', CAPABILITIES];

when(it, 'npm', 'bpf', 'root', 'cgroup2', 'setpriv').each([
  ['root', []],
  ['a user with three capabilities', AS_USER],
] as const)('the package captures, stores and answers, run by %s', async (_, as) => {
  using home = new Folder();
  chmodSync(home.path, 0o777);
  await using cgroup = new Cgroup('package');
  await using site = await nodeSite({ cgroup });
  const log = home.file('calls.ndjson');
  const socket = home.file('s');
  const data = home.file('data');
  const config = home.write('headwater.yaml', 'tls:\n  secrets: false\n');
  const command = [...as, headwater, 'run', '--cgroup', cgroup.path, '--config', config, '--log', log];
  await using agent = new Program([...command, '--socket', socket, '--data', data], { env: { HOME: home.path } });
  await agent.until('attaching', () => agent.stderr.includes('capturing '));
  const answer = await fetch(`http://127.0.0.1:${site.port}/bytes/5`);
  expect((await answer.arrayBuffer()).byteLength).toBe(5);
  await agent.until('the call in the log', () => existsSync(log) && readFileSync(log, 'utf8').includes('/bytes/5'));
  const stored = await run([...as, headwater, 'query', '--socket', socket, '--json']);
  expect(stored.code, stored.stderr).toBe(0);
  const { code, stderr } = await agent.stop('SIGINT');
  expect(code, stderr).toBe(0);
  const { exchanges } = parseLog(readFileSync(log, 'utf8'));
  expect(exchanges).toMatchObject([
    { side: 'server', request: { target: '/bytes/5' }, response: { status: 200, body_bytes: 5 }, losses: [] },
  ]);
  expect(JSON.parse(stored.stdout)).toMatchObject({ id: exchanges[0]!.id, request: { target: '/bytes/5' } });
});

when(
  it,
  'npm',
  'bpf',
  'root',
  'setpriv',
)('without a capability: which one, and how to get it', async () => {
  const capabilities = '+bpf,+net_admin';
  const as = [...USER, '--inh-caps', capabilities, '--ambient-caps', capabilities];
  const { code, stderr } = await run([...as, headwater, 'run', '--no-store', '--socket', folder.file('s')]);
  expect(code).toBe(3);
  expect(stderr).toContain('cap_perfmon is missing');
  expect(stderr).toContain(`--ambient-caps ${CAPABILITIES}`);
});
