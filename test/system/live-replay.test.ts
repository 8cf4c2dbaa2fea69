/** tcpdump beside the agent: `replay` of its file says of the same traffic what the agent has logged live. */
import { existsSync, statSync } from 'node:fs';
import { expect, it } from 'vitest';
import { Agent, HEADWATER, type LoggedExchange, parseLog } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { raw } from '../rig/clients/raw.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { run } from '../rig/program.ts';
import { nginx } from '../rig/servers/nginx.ts';
import { nodeSite } from '../rig/servers/site.ts';
import { Tcpdump } from '../rig/tcpdump.ts';

const APART_NS_MAX = 1e6;
const get = (path: string, name: string, more = ''): string =>
  `GET ${path} HTTP/1.1\r\nHost: raw.test\r\nX-Request-Id: ${name}\r\n${more}\r\n`;

const told = ({ request, response, outcome, losses, anomalies, client, server, protocol }: LoggedExchange): object => ({
  protocol,
  request,
  // Times are compared apart, those of interim responses with them.
  response: response === null ? null : { ...response, interim: response.interim.map(({ status }) => status) },
  outcome,
  losses,
  anomalies,
  ends: [client.port, server.port],
});
const order = (exchanges: readonly LoggedExchange[]): LoggedExchange[] =>
  exchanges.toSorted((a, b) => a.client.port - b.client.port || a.ts!.localeCompare(b.ts!));
const ns = (ts: string): bigint => BigInt(Date.parse(`${ts.slice(0, 19)}Z`)) * 1_000_000n + BigInt(ts.slice(20, 29));

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'tcpdump',
  'nginx',
)('live and replay agree, call by call', async () => {
  using folder = new Folder();
  await using cgroup = new Cgroup('replay');
  await using node = await nodeSite({ cgroup });
  await using web = await nginx({ cgroup });
  const file = folder.file('beside.pcap');
  await using dump = await Tcpdump.start(file, { filter: `tcp port ${node.port} or tcp port ${web.port}` });
  // A header that is redacted has the same fingerprint on both ways only with the same installation key.
  const state = folder.file('state');
  const env = { XDG_DATA_HOME: state, XDG_CONFIG_HOME: state, XDG_STATE_HOME: state };
  await using agent = await Agent.start({ cgroups: [cgroup], env });
  for (const { port } of [node, web]) {
    const small = { until: 'small\n' };
    await raw(port, [
      { send: get('/small?q=1', 'ka-1', 'Authorization: Bearer sk-fake-not-a-secret\r\n') },
      small,
      { send: get('/missing', 'ka-2') },
      { pauseMs: 50 },
    ]);
    await raw(port, [
      { send: get('/small', 'p-1') + get('/small', 'p-2') + get('/count', 'p-3') },
      small,
      small,
      { until: '}\n' },
    ]);
    await raw(port, [
      { send: get('/small', 'head').replace('GET', 'HEAD') },
      { until: '\r\n\r\n' },
      { send: get('/small', 'after-head') },
      small,
    ]);
    await raw(port, [{ send: get('/small', 'bytes'), piece: 7 }, small, { halfClose: true }, { untilEnd: true }]);
  }
  await raw(node.port, [
    { send: get('/chunked/20', 'chunked') },
    { until: 'X-Chunks: 20' },
    { send: get('/bytes/30000', 'long') },
    { untilBytes: 30_000 },
  ]);
  const post = (name: string, more: string): string =>
    `POST /sink HTTP/1.1\r\nHost: raw.test\r\nX-Request-Id: ${name}\r\n${more}\r\n`;
  await raw(node.port, [
    { send: post('continue', 'Expect: 100-continue\r\nContent-Length: 5\r\n') },
    { until: '100 Continue' },
    { send: 'hello' },
    { until: '}\n' },
    { send: `${post('upload', 'Transfer-Encoding: chunked\r\n')}3;x=y\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n` },
    { until: '}\n' },
  ]);
  await raw(node.port, [{ send: get('/hint', 'hint') }, { until: 'hint\n' }]);
  await raw(node.port, [{ send: get('/close/3000', 'close') }, { untilEnd: true }]);
  await raw(node.port, [{ send: get('/reset', 'reset') }, { untilEnd: true }]);
  await raw(node.port, [{ send: get('/stall', 'abort') }, { until: '0123456789' }, { reset: true }]);
  await raw(node.port, [{ send: get('/slow/3000', 'unanswered') }, { pauseMs: 100 }, { reset: true }]);
  const live = await agent.stop();
  await dump.stop();
  expect(existsSync(file) && statSync(file).size).toBeGreaterThan(10_000);
  const replayed = await run([HEADWATER, 'replay', file], { env });
  expect(replayed.code).toBe(0);
  const offline = parseLog(replayed.stdout);
  const [a, b] = [order(live.exchanges), order(offline.exchanges)];
  expect(a.length).toBeGreaterThanOrEqual(25);
  expect(b.map(told)).toEqual(a.map(told));
  const apart: string[] = [];
  for (const [i, one] of a.entries()) {
    const other = b[i]!;
    const late = ns(other.ts!) - ns(one.ts!);
    for (const [name, at] of Object.entries(one.timing_ns)) {
      const there = other.timing_ns[name];
      const difference =
        at === null || there === null || there === undefined
          ? at !== there
          : Math.abs(Number(late) + there - at) > APART_NS_MAX;
      if (difference)
        apart.push(`${one.request.target} ${name}: ${at} live, ${there} in the file, which began ${late} ns later`);
    }
  }
  expect(apart).toEqual([]);
  expect(offline.summary.losses).toEqual(live.summary.losses);
});
