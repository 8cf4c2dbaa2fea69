/** `export --pcapng` on real traffic: the file through tshark and through replay says what the programs did and what the agent saw live. */
import { readFileSync, statSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Agent, field, HEADWATER, type LoggedExchange } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { curl } from '../rig/clients/curl.ts';
import { Folder } from '../rig/folder.ts';
import { findProgram, when } from '../rig/need.ts';
import { must, Program, run } from '../rig/program.ts';
import { type ReplayedExchange, replayed } from '../rig/replay.ts';
import type { Server } from '../rig/servers/server.ts';
import { nodeSite } from '../rig/servers/site.ts';
import { goTls, nginxTls, nodeTls, TlsHome } from '../rig/tls/servers.ts';

const SECRETS_NOTE = 'whoever has this file can read';
const ENDED = 'headwater: the agent has ended before the time was over';
const IDS = /^x-request-id$/i;

/** Started, and the agent hands out packets. */
async function exporting(agent: Agent, file: string, ...args: string[]): Promise<Program> {
  const program = new Program([HEADWATER, 'export', '--pcapng', file, '--socket', agent.socket, ...args]);
  await program.until('packets', () => program.stderr.includes('are written as they are'));
  return program;
}

/** Longer than any test: it ends because somebody ends it. */
const UNTIL_ENDED = ['--seconds', '3600'];

/** Waits until so many calls, with their answers, can be read from the file: packets come a moment after the calls are in the log. */
const hasWritten = (program: Program, file: string, calls: number): Promise<void> =>
  program.until(`${calls} calls in its file`, async () => {
    // It may be empty as yet.
    const there = await replayed(file).catch(() => null);
    return there?.exchanges.filter(({ response }) => response !== null).length === calls;
  });

/** TCP's segments that this machine has sent again since its start: RetransSegs of /proc/net/snmp. */
function segmentsSentAgain(): number {
  const [names, values] = readFileSync('/proc/net/snmp', 'latin1')
    .split('\n')
    .filter((line) => line.startsWith('Tcp:'))
    .map((line) => line.split(' '));
  return Number(values![names!.indexOf('RetransSegs')]);
}

/** One row a packet, the fields divided by tabs. */
async function tshark(file: string, filter: string, fields: readonly string[], ...args: string[]): Promise<string[]> {
  const command = [findProgram('tshark')!, '-r', file, ...args, '-Y', filter, '-T', 'fields', '-E', 'occurrence=a'];
  const out = await must([...command, ...fields.flatMap((name) => ['-e', name])]);
  return out.split('\n').slice(0, -1);
}

const idOf = ({ request }: LoggedExchange | ReplayedExchange): string =>
  request!.headers.find(([name]) => IDS.test(name))?.[1] ?? '';
/** What a call is, apart from its times and its place. */
const essence = (x: LoggedExchange | ReplayedExchange) => ({
  id: idOf(x),
  protocol: x.protocol,
  method: x.request!.method,
  target: x.request!.target,
  fields: x.request!.headers.length,
  status: x.response?.status,
  answered: x.response?.headers.length,
});
const byId = (a: { id: string }, b: { id: string }): number => (a.id < b.id ? -1 : 1);

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'tshark',
  'curl',
)('export --pcapng', () => {
  test('both ends in scope: every packet once, and the calls are those of the live log', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('packets');
    await using site = await nodeSite({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const file = folder.file('calls.pcapng');
    const sentAgain = segmentsSentAgain();
    await using taking = await exporting(agent, file, ...UNTIL_ENDED);
    const at = (host: string, path: string): string => `http://${host}:${site.port}${path}`;
    const urls = [
      at('127.0.0.1', '/small'),
      at('127.0.0.1', '/missing'),
      at('127.0.0.1', '/bytes/100000'),
      at('[::1]', '/status/503'),
    ];
    for (const [i, url] of urls.entries()) await curl(['-g', '-H', `x-request-id: g${i}`, url], { cgroup });
    await curl(['-H', 'x-request-id: p0', '--data-binary', '@-', at('127.0.0.1', '/small')], {
      cgroup,
      input: 'x'.repeat(30_000),
    });
    const live = await agent.until((calls) => calls.length >= 2 * (urls.length + 1));
    await hasWritten(taking, file, urls.length + 1);
    const { code, stderr } = await taking.stop('SIGINT');
    expect(code).toBe(0);
    expect(stderr).toContain('not redacted');
    expect(stderr).not.toContain(SECRETS_NOTE);
    expect(stderr).toMatch(/headwater: \d+ packets, [\d.]+k\n$/);
    expect(statSync(file).mode & 0o777).toBe(0o600);

    const offline = await replayed(file);
    expect(offline.exchanges.map(essence).sort(byId)).toEqual(
      live
        .filter(({ side }) => side === 'client')
        .map(essence)
        .sort(byId),
    );
    const asked = await tshark(
      file,
      'http.request',
      ['http.request.method', 'http.request.uri'],
      '-d',
      `tcp.port==${site.port},http`,
    );
    expect(asked).toEqual([...urls.map((url) => `GET\t${new URL(url).pathname}`), 'POST\t/small']);
    const heads = ['http.response.code', 'ip.checksum.status'];
    const answered = await tshark(
      file,
      'http.response',
      heads,
      '-d',
      `tcp.port==${site.port},http`,
      '-o',
      'ip.check_checksum:TRUE',
    );
    expect(answered).toEqual(['200\t1', '404\t1', '200\t1', '503\t', '200\t1']);
    expect(await tshark(file, '_ws.malformed', ['frame.number'])).toEqual([]);
    // A packet that is there twice looks as one that was sent again, which a busy machine does too.
    const twice = await tshark(file, 'tcp.analysis.retransmission', ['frame.number']);
    expect(twice.length).toBeLessThanOrEqual(segmentsSentAgain() - sentAgain);
    // What the window left out is told by lengths, and by comments where whole segments are missing.
    const cut = await tshark(file, 'frame.cap_len < frame.len', ['frame.len', 'frame.cap_len']);
    const comments = await tshark(file, 'frame.comment', ['frame.comment']);
    expect(cut.length + comments.length).toBeGreaterThan(0);
    for (const comment of comments) expect(comment).toMatch(/^\d+ bytes of this direction before it were left out/);
    const times = await tshark(file, 'http.request', ['frame.time_epoch']);
    for (const [i, time] of times.entries())
      expect(
        Math.abs(Number(time) - Date.parse(live.filter(({ side }) => side === 'client')[i]!.ts!) / 1e3),
      ).toBeLessThan(0.002);
  });

  test('ends with its time, with Ctrl-C, with the agent, or with its reader: what is there can be read', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('packets');
    await using site = await nodeSite({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const call = (id: string) => curl(['-H', `x-request-id: ${id}`, `http://127.0.0.1:${site.port}/small`]);
    const ids = async (file: string): Promise<string[]> => (await replayed(file)).exchanges.map(idOf);

    await using brief = await exporting(agent, folder.file('brief.pcapng'), '--seconds', '1');
    const over = await brief.ended;
    expect([over.code, over.stderr]).toEqual([0, expect.stringMatching(/headwater: \d+ packets, \S+\n$/)]);
    expect(await ids(folder.file('brief.pcapng'))).toEqual([]);

    await using first = await exporting(agent, folder.file('a.pcapng'), ...UNTIL_ENDED);
    await call('a0');
    await hasWritten(first, folder.file('a.pcapng'), 1);
    expect((await first.stop('SIGINT')).code).toBe(0);
    expect(await ids(folder.file('a.pcapng'))).toEqual(['a0']);

    const toReader = `"$0" export --pcapng - ${UNTIL_ENDED.join(' ')} --socket "$1" | head -c 300`;
    await using piped = new Program(['sh', '-c', toReader, HEADWATER, agent.socket]);
    // The reader has its bytes before the first packet; that it is gone is known when another is written.
    while (piped.running) await call('b0');
    const { code: readers, stdout } = await piped.ended;
    expect([readers, stdout.length]).toEqual([0, 300]);

    await using last = await exporting(agent, folder.file('c.pcapng'), ...UNTIL_ENDED);
    await using other = await exporting(agent, folder.file('d.pcapng'), ...UNTIL_ENDED);
    const third = await run([HEADWATER, 'export', '--pcapng', folder.file('e'), '--socket', agent.socket]);
    expect([third.code, third.stderr]).toEqual([
      3,
      'headwater: the agent refused: others are taking packets already: wait until they have ended\n',
    ]);
    await call('c0');
    await agent.stop();
    for (const [program, file] of [
      [last, 'c.pcapng'],
      [other, 'd.pcapng'],
    ] as const) {
      const { code, stderr } = await program.ended;
      expect([code, stderr.trimEnd().split('\n').at(-1)]).toEqual([1, ENDED]);
      expect(await ids(folder.file(file))).toEqual(['c0']);
    }
  });

  test('an agent that is killed: exit code 1, and the file can be read', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('packets');
    await using site = await nodeSite({ cgroup });
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const file = folder.file('a.pcapng');
    await using taking = await exporting(agent, file, ...UNTIL_ENDED);
    await curl(['-H', 'x-request-id: k0', `http://127.0.0.1:${site.port}/small`]);
    await hasWritten(taking, file, 1);
    agent.program.signal('SIGKILL');
    const { code, stderr } = await taking.ended;
    expect([code, stderr.trimEnd().split('\n').at(-1)]).toEqual([1, ENDED]);
    expect((await replayed(file)).exchanges.map(idOf)).toEqual(['k0']);
  });

  test('refused: statistics only, and secrets where none are taken', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('packets');
    const file = folder.file('no.pcapng');
    const refused = async (socket: string, ...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await run([HEADWATER, 'export', '--pcapng', file, '--socket', socket, ...args]);
      expect([code, stdout]).toEqual([3, '']);
      return stderr;
    };
    await using agent = await Agent.start({ cgroups: [cgroup] });
    expect(await refused(agent.socket, '--with-secrets')).toBe(
      'headwater: the agent refused: it takes no TLS secrets: headwater status says why\n',
    );
    await using closed = await Agent.start({ cgroups: [cgroup], config: 'stats_only: true' });
    expect(await refused(closed.socket)).toContain('stats_only');
    expect(() => statSync(file)).toThrow('ENOENT');
  });
});

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'tshark',
  'curl',
  'openssl',
  'nginx',
  'go',
)('export --pcapng --with-secrets', () => {
  test('tshark and replay read from the file alone what the agent read live; without the option nobody can', async () => {
    await using home = await TlsHome.open();
    await using cgroup = new Cgroup('packets');
    await using agent = await Agent.start({ cgroups: [cgroup], secrets: true });
    const servers: Readonly<Record<string, Server>> = {
      nginx: await nginxTls(home, cgroup),
      node: await nodeTls(home, cgroup),
      go: await goTls(home, cgroup),
    };
    await agent.tapped(3);
    const open = home.folder.file('open.pcapng');
    const closed = home.folder.file('closed.pcapng');
    await using taking = await exporting(agent, open, ...UNTIL_ENDED, '--with-secrets');
    await using without = await exporting(agent, closed, ...UNTIL_ENDED);
    expect(taking.stderr).toContain(SECRETS_NOTE);
    let made = 0;
    for (const server of Object.values(servers))
      for (const version of ['1.2', '1.3'])
        for (const alpn of ['--http1.1', '--http2']) {
          const urls = [0, 1].map(() => `https://localhost:${server.port}/x?id=r${made++}`);
          const args = ['-k', '--tlsv1.2', '--tls-max', version, alpn, '-H', 'x-request-id: of-this-call'];
          const { code, stderr } = await curl([...args, ...urls.flatMap((url) => ['-o', '/dev/null', url])], {
            cgroup,
            env: home.env,
          });
          expect(code, stderr).toBe(0);
        }
    const live = (await agent.until((calls) => calls.length >= 2 * made)).filter(({ side }) => side === 'client');
    expect(live).toHaveLength(made);
    await hasWritten(taking, open, made);
    for (const program of [taking, without]) expect((await program.stop('SIGINT')).code).toBe(0);

    const target = ({ request }: LoggedExchange | ReplayedExchange): string => request!.target;
    const targets = Array.from({ length: made }, (_, i) => `/x?id=r${i}`);
    const offline = await replayed(open);
    // A file without SYNs: some connections are read when it is clear that nothing came before.
    const calls = offline.exchanges.toSorted((a, b) => (a.ts! < b.ts! ? -1 : 1));
    expect(calls.map(target)).toEqual(targets);
    expect(calls.map((x) => ({ ...essence(x), id: '' }))).toEqual(live.map((x) => ({ ...essence(x), id: '' })));
    expect(offline.exchanges.every(({ response }) => field(response, 'x-id') !== undefined)).toBe(true);
    const uris = await tshark(open, 'http.request or http2.headers.path', ['http.request.uri', 'http2.headers.path']);
    expect(
      uris.flatMap((row) => row.split('\t').flatMap((cell) => cell.split(','))).filter((uri) => uri !== ''),
    ).toEqual(targets);

    expect((await replayed(closed)).exchanges).toEqual([]);
    expect(await tshark(closed, 'http.request or http2.headers.path', ['frame.number'])).toEqual([]);
    expect(readFileSync(closed).includes('TRAFFIC_SECRET')).toBe(false);
    expect(readFileSync(open).includes('CLIENT_TRAFFIC_SECRET_0')).toBe(true);
    // In the file alone: neither in the log nor in what the agent says.
    const { ended } = await agent.stop();
    expect(ended.stderr).toContain('packets are handed out for 3600 s, with TLS secrets');
    expect(`${ended.stderr}${readFileSync(agent.log, 'latin1')}`).not.toMatch(/_SECRET|CLIENT_RANDOM/);
  });
});
