/** tcpdump beside the agent: `replay` of its file says of the same traffic what the agent has logged live. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, it } from 'vitest';
import { Agent, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { raw, rawProcess, type Step } from '../rig/clients/raw.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { Recording } from '../rig/recording.ts';
import { nginx } from '../rig/servers/nginx.ts';
import { nodeSite } from '../rig/servers/site.ts';

/** tcpdump and the agent see a packet at two places in the kernel: nine of ten times lie so close together ... */
const APART_NS = 1e6;
/** ... and where a busy machine stops a process in between, no farther apart than this. */
const APART_NS_MAX = 500e6;
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
  await using recording = await Recording.start(folder.file('beside.pcap'), [node.port, web.port]);
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
  await recording.stop();
  const offline = await recording.replayed({ env });
  const [a, b] = [order(live.exchanges), order(offline.exchanges)];
  expect(a.length).toBeGreaterThanOrEqual(25);
  expect(b.map(told)).toEqual(a.map(told));
  const apart: number[] = [];
  for (const [i, one] of a.entries()) {
    const other = b[i]!;
    const late = ns(other.ts!) - ns(one.ts!);
    for (const [name, at] of Object.entries(one.timing_ns)) {
      const there = other.timing_ns[name];
      const what = `${one.request.target} ${name}: ${at} live, ${there} in the file, which began ${late} ns later`;
      if (at === null || there === null || there === undefined) {
        expect(there, what).toBe(at);
        continue;
      }
      apart.push(Math.abs(Number(late) + there - at));
      expect(apart.at(-1), what).toBeLessThan(APART_NS_MAX);
    }
  }
  expect(apart.toSorted((x, y) => x - y)[Math.floor(apart.length * 0.9)]).toBeLessThan(APART_NS);
  expect(offline.summary.losses).toEqual(live.summary.losses);
});

/** Answers each head at once, 100 Continue before it where its target says so, and reads chunked bodies that come all the same. */
function answersEarly(): ReturnType<typeof createServer> {
  return createServer((socket) => {
    let unread = '';
    socket.setEncoding('latin1').on('data', (data: string) => {
      unread += data;
      for (;;) {
        const part =
          /^(?:\r\n)*([A-Z]+ \S+) HTTP\/1\.1\r\n[\s\S]*?\r\n\r\n/.exec(unread) ??
          /^[0-9a-f]+\r\n[\s\S]*?\r\n0\r\n\r\n/.exec(unread);
        if (part === null) return;
        unread = unread.slice(part[0].length);
        const [, asked] = part;
        if (asked?.includes('/asked/')) socket.write('HTTP/1.1 100 Continue\r\n\r\n');
        if (asked !== undefined) socket.write(`HTTP/1.1 ${asked.slice(-3)} X\r\nContent-Length: 2\r\n\r\nok`);
      }
    });
    socket.on('error', () => socket.destroy());
  });
}

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'tcpdump',
)(
  'a chunked body that was refused, and does not come or comes all the same: the next requests are read, live and in the file',
  async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('refused');
    await using server = answersEarly().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await using recording = await Recording.start(folder.file('beside.pcap'), [port]);
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const answer: Step = { until: '\r\n\r\nok' };
    const put = (target: string, name: string): Step[] => [
      { send: get(target, name, 'Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n').replace('GET', 'PUT') },
      answer,
    ];
    const long = `X-Long: ${'l'.repeat(30_000)}\r\n`;
    const steps: Step[] = [];
    const expected: string[] = [];
    const unsent = (status: number, name: string, ...next: Step[]): void => {
      steps.push(...put(`/${status}`, name), ...next, answer);
      expected.push(`${name} ${status} 0 short_body,early_response`, `${name}-next 200 0 `);
    };
    for (const status of [200, 401, 413, 417])
      unsent(status, `whole-${status}`, { send: get('/200', `whole-${status}-next`) });
    unsent(401, 'bytes', { send: get('/200', 'bytes-next'), piece: 1 });
    unsent(401, 'hex', { send: get('/200', 'hex-next').replace('GET', 'ADD'), piece: 2 });
    unsent(401, 'empty', { send: `\r\n${get('/200', 'empty-next')}` });
    unsent(401, 'long', { send: get('/200', 'long-next', long) });
    unsent(401, 'long-hex', { send: get('/200', 'long-hex-next', long).replace('GET', 'ADD'), piece: 5_000 });
    const cut = get('/200', 'cut-next', long).replace('GET', 'ADD');
    unsent(401, 'cut', { send: cut.slice(0, 3), piece: 1 }, { send: cut.slice(3) });
    for (const target of ['/401', '/asked/200']) {
      const name = `body${target.replaceAll('/', '-')}`;
      steps.push(...put(target, name), { send: `${(200_000).toString(16)}\r\n${'b'.repeat(200_000)}\r\n0\r\n\r\n` });
      steps.push({ send: get('/200', `${name}-next`) }, answer);
      expected.push(`${name} ${target.slice(-3)} 200000 early_response`, `${name}-next 200 0 `);
    }
    const { error } = await rawProcess(port, steps, '127.0.0.1', { cgroup });
    expect(error).toBeNull();
    const live = await agent.stop();
    await recording.stop();
    for (const { exchanges } of [live, await recording.replayed()]) {
      const says = order(exchanges).map(({ request, response, outcome, losses, anomalies }) => {
        const name = request.headers.find(([header]) => header === 'X-Request-Id')![1];
        const rest = [
          (anomalies ?? []).join(),
          ...(outcome === 'complete' ? [] : [outcome]),
          ...losses.map(({ reason }) => reason),
        ];
        return `${name} ${response!.status} ${request.body_bytes} ${rest.join(' ')}`;
      });
      expect(says).toEqual(expected);
    }
  },
);
