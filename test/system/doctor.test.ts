/** `doctor` and `why` as a user runs them, on this machine. */
import { existsSync, readdirSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Agent, HEADWATER } from '../rig/agent.ts';
import { Cgroup, unifiedMount } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must, Program, run } from '../rig/program.ts';

const headwater = (...args: string[]) => run([HEADWATER, ...args]);

interface Report {
  readonly can_run: boolean;
  readonly checks: readonly {
    readonly check: string;
    readonly level: string;
    readonly found: string;
    readonly fix: Record<string, string> | null;
  }[];
}

describe('doctor', () => {
  when(
    it,
    'root',
    'cgroup2',
    'bpf',
  )('sees a call of its own, and leaves nothing behind', async () => {
    const ended = await headwater('doctor', '--json');
    expect(ended.stderr).toBe('');
    const report = JSON.parse(ended.stdout) as Report;
    expect(report.checks.find((check) => check.check === 'self-probe')).toMatchObject({
      level: 'ok',
      found: expect.stringContaining('one call seen'),
    });
    expect(report.checks.filter((check) => check.level === 'blocks')).toEqual([]);
    expect([ended.code, report.can_run]).toEqual([0, true]);
    for (const { fix } of report.checks)
      if (fix !== null) expect(Object.keys(fix).sort()).toEqual(['alpine', 'debian', 'fedora']);
    expect(readdirSync(unifiedMount()!).filter((name) => name.startsWith('headwater-doctor'))).toEqual([]);
  });

  when(
    it,
    'root',
    'setpriv',
    'readable',
  )('blocks without capabilities: exit code 1, with the command that helps', async () => {
    const ended = await run([
      'setpriv',
      '--reuid',
      '12345',
      '--regid',
      '12345',
      '--clear-groups',
      process.execPath,
      join(import.meta.dirname, '../../src/cli/main.ts'),
      'doctor',
    ]);
    expect(ended.code).toBe(1);
    expect(ended.stdout).toMatch(/^blocks {2}permissions {7}uid 12345, without cap_bpf, cap_perfmon, cap_net_admin$/m);
    expect(ended.stdout).toMatch(/sudo headwater run/);
    expect(ended.stdout).toMatch(/not tried: something above blocks/);
    expect(ended.stdout.trimEnd().split('\n').at(-1)).toMatch(/^Headwater cannot run here: 1 check blocks\./);
  });
});

describe('why without an agent', () => {
  const nowhere = ['--socket', '/nonexistent/headwater.sock'];

  it('says so, and how to start one', async () => {
    const ended = await headwater('why', String(process.pid), ...nowhere);
    expect(ended.code).toBe(1);
    expect(ended.stdout).toMatch(/^not seen {5}No agent answers at \/nonexistent\/headwater.sock/m);
    expect(ended.stdout).toContain('sudo headwater run');
  });

  it('names the process that listens on a port, and a port that nobody serves', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    const served = await headwater('why', `:${port}`, ...nowhere);
    expect(served.stdout).toContain(`(pid ${process.pid})`);
    await new Promise((resolve) => server.close(resolve));
    const free = await headwater('why', `http://127.0.0.1:${port}/`, ...nowhere);
    expect(free.stdout).toMatch(/Nothing listens on 127\.0\.0\.1 \(127\.0\.0\.1\) port/);
  });

  it('refuses what is none of the three: exit code 2, one line and an example', async () => {
    const ended = await headwater('why', 'what?');
    expect([ended.code, ended.stdout]).toEqual([2, '']);
    expect(ended.stderr).toContain('Cannot read "what?" as a process id, a port or a URL');
  });
});

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'python3',
)('why with an agent', () => {
  // A connection of the default five seconds is gone before a busy machine has asked twice.
  const server = `import { createServer } from 'node:http';
createServer({ keepAliveTimeout: 600_000 }, (q, r) => r.end('ok')).listen(0, '127.0.0.1', function () { console.log('port ' + this.address().port); });`;
  const unixServer = `import { createServer } from 'node:http';
createServer((q, r) => r.end('ok')).listen(process.argv[2], () => console.log('port 0'));`;
  const client = `import http from 'node:http';
const agent = new http.Agent({ keepAlive: true });
process.stdin.on('data', () => http.get({ port: process.argv[2], agent }, (r) => { r.resume(); r.on('end', () => console.log('called')); }));
console.log('ready');`;

  it('tells what is seen, what is outside, what is no packet', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('why');
    await using serving = new Program([process.execPath, folder.write('server.mjs', server)], { cgroup });
    await serving.until('port', () => serving.stdout.includes('port '));
    const port = /port (\d+)/.exec(serving.stdout)![1]!;
    await using outside = new Program([process.execPath, folder.file('server.mjs')]);
    await outside.until('port', () => outside.stdout.includes('port '));
    await using unix = new Program([process.execPath, folder.write('unix.mjs', unixServer), folder.file('api.sock')], {
      cgroup,
    });
    await unix.until('port', () => unix.stdout.includes('port '));
    await using agent = await Agent.start({ cgroups: [cgroup] });
    const why = async (target: string): Promise<{ code: number | null; ids: string[]; text: string }> => {
      const ended = await headwater('why', target, '--json', '--socket', agent.socket);
      const { answers } = JSON.parse(ended.stdout) as { answers: { findings: { id: string; text: string }[] }[] };
      const findings = answers.flatMap((answer) => answer.findings);
      return { code: ended.code, ids: findings.map(({ id }) => id), text: findings.map(({ text }) => text).join('\n') };
    };
    expect((await why(`pid:${serving.pid}`)).ids).toEqual(['no_connection']);
    await using calling = new Program([process.execPath, folder.write('client.mjs', client), port]);
    await calling.until('start', () => calling.stdout.includes('ready'));
    calling.stdin.write('x');
    await calling.until('a call', () => calling.stdout.includes('called'));
    await calling.until('the agent to know of it', async () => (await why(`pid:${serving.pid}`)).ids.includes('http'));
    const seen = await why(`http://127.0.0.1:${port}/`);
    expect(seen.code).toBe(0);
    expect(seen.ids).toContain('http');
    expect(seen.text).toContain(`(pid ${serving.pid})`);
    // The client is in another cgroup: its own leg is not observed.
    expect(seen.ids).toContain('out_of_scope');
    expect((await why(`pid:${outside.pid}`)).ids).toEqual(['out_of_scope']);
    expect((await why(`pid:${unix.pid}`)).ids).toEqual(['unix_only']);
    expect(existsSync(folder.file('api.sock'))).toBe(true);
    await must([HEADWATER, 'why', port, '--socket', agent.socket]);
  });
});
