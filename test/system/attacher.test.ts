/** The two processes: who they are in /proc, what the pipeline can ask for, and what is left when either is killed. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must, Program } from '../rig/program.ts';
import { TestAttacher } from './attacher/rig.ts';

const NOBODY = 65534;
const alive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
const until = async (what: string, ready: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 1_000; i++) {
    if (await ready()) return;
    await sleep(10);
  }
  throw new Error(`no ${what}`);
};

/** Every thread's value of a line of /proc/PID/status. */
const threads = (pid: number, field: string): string[] =>
  readdirSync(`/proc/${pid}/task`).map((tid) =>
    new RegExp(`^${field}:[ \\t]*(.*?)[ \\t]*$`, 'm')
      .exec(readFileSync(`/proc/${pid}/task/${tid}/status`, 'latin1'))![1]!
      .replaceAll('\t', ' '),
  );
const everyThread = (pid: number, field: string): string => [...new Set(threads(pid, field))].join(' | ');
const none = '0000000000000000';
const mask = (...numbers: number[]): string =>
  numbers
    .reduce((set, n) => set | (1n << BigInt(n)), 0n)
    .toString(16)
    .padStart(16, '0');

const attached = async (cgroup: Cgroup): Promise<string> =>
  (await must(['bpftool', 'cgroup', 'show', cgroup.path])).trim();

const system = when(describe, 'root', 'cgroup2');
const withKernel = when(describe, 'root', 'cgroup2', 'bpf', 'bpftool');

system('privileges', () => {
  it('gives the pipeline another uid and nothing else, in every thread', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const pid = attacher.pipelinePid;
    expect(everyThread(pid, 'Uid')).toBe(`${NOBODY} ${NOBODY} ${NOBODY} ${NOBODY}`);
    expect(everyThread(pid, 'Gid')).toBe(`${NOBODY} ${NOBODY} ${NOBODY} ${NOBODY}`);
    expect(everyThread(pid, 'Groups')).toBe('');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) expect(everyThread(pid, set)).toBe(none);
    expect(everyThread(pid, 'NoNewPrivs')).toBe('1');
    expect(readFileSync(`/proc/${pid}/limits`, 'latin1')).toMatch(/^Max core file size\s+0\s+0\s/m);
    // Not dumpable: /proc/PID belongs to root although the process does not.
    expect(statSync(`/proc/${pid}/environ`).uid).toBe(0);
    expect(await attacher.ask({ do: 'open', text: folder.file('state', 'key') })).toBe('EACCES');
    expect(await attacher.ask({ do: 'open', text: '/etc/shadow' })).toBe('EACCES');
  });

  it('leaves the attacher what docs/decisions/0020 says, and no more', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const [DAC_OVERRIDE, DAC_READ_SEARCH, KILL, SYS_PTRACE, SYS_ADMIN, PERFMON, BPF] = [1, 2, 5, 19, 21, 38, 39];
    // In every thread, also in those that the runtime started before any of our code ran.
    expect(everyThread(attacher.pid, 'CapPrm')).toBe(
      mask(DAC_OVERRIDE, DAC_READ_SEARCH, KILL, SYS_PTRACE, SYS_ADMIN, PERFMON, BPF),
    );
    expect(everyThread(attacher.pid, 'CapInh')).toBe(none);
    expect(everyThread(attacher.pid, 'CapAmb')).toBe(none);
    expect(everyThread(attacher.pid, 'NoNewPrivs')).toBe('1');
    const status = readFileSync(`/proc/${attacher.pid}/status`, 'latin1');
    expect(/^CapEff:\s*(.*)$/m.exec(status)![1]).toBe(mask(DAC_READ_SEARCH, KILL, SYS_PTRACE, BPF));
  });

  it('keeps no descriptor but what it needs, and no environment', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    expect(readFileSync(`/proc/${attacher.pid}/environ`, 'latin1')).toBe('PATH=/usr/sbin:/usr/bin:/sbin:/bin\0');
    const open = readdirSync(`/proc/${attacher.pid}/fd`)
      .filter((fd) => Number(fd) > 2)
      .map((fd) => readlinkSync(`/proc/${attacher.pid}/fd/${fd}`));
    expect(open.filter((target) => target.startsWith('socket:'))).toHaveLength(2);
    expect(open).not.toContain(attacher.logPath);
    expect(open.join(' ')).not.toContain('memfd');
  });

  it('hands over by descriptor: nothing of the environment, the key nowhere but in memory', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const handover = await attacher.ask<{
      key: string;
      argv: string[];
      environment: object;
      config: object;
      cgroups: object[];
    }>({ do: 'handover' });
    expect(handover.key).toBe(readFileSync(folder.file('state', 'key')).toString('hex'));
    expect(statSync(folder.file('state', 'key')).mode & 0o777).toBe(0o600);
    expect(handover.config).toEqual({ hello: 'pipeline' });
    expect(handover.cgroups).toEqual([{ path: cgroup.name, id: cgroup.id }]);
    expect(Object.keys(handover.environment)).toEqual(['PATH']);
    expect(readFileSync(`/proc/${attacher.pipelinePid}/cmdline`, 'latin1')).not.toContain(handover.key);
  });

  it('works from an installation that the pipeline may not read', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    chmodSync(folder.path, 0o700);
    const entry = folder.write(
      'entry.ts',
      `export { runPipeline } from ${JSON.stringify(join(import.meta.dirname, 'attacher/pipeline.ts'))};`,
    );
    await using attacher = await TestAttacher.start(folder, [cgroup], { pipelineEntry: entry });
    expect(everyThread(attacher.pipelinePid, 'Uid')).toContain(String(NOBODY));
    expect(await attacher.ask({ do: 'open', text: entry })).toBe('EACCES');
  });

  it('runs without root, on two ambient capabilities, and passes none of them on', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    chmodSync(folder.path, 0o777);
    const launch = [
      'setpriv',
      '--reuid',
      '12345',
      '--regid',
      '12345',
      '--clear-groups',
      '--inh-caps',
      '+bpf,+net_admin',
      '--ambient-caps',
      '+bpf,+net_admin',
    ];
    await using attacher = await TestAttacher.start(folder, [cgroup], {}, launch);
    expect(everyThread(attacher.pipelinePid, 'Uid')).toBe('12345 12345 12345 12345');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb'])
      expect(everyThread(attacher.pipelinePid, set)).toBe(none);
    expect(everyThread(attacher.pipelinePid, 'NoNewPrivs')).toBe('1');
    expect(/^CapEff:\s*(.*)$/m.exec(readFileSync(`/proc/${attacher.pid}/status`, 'latin1'))![1]).toBe(mask(39));
    expect((await attacher.stop()).code).toBe(0);
  });

  it('does not open an inspector on SIGUSR1', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    process.kill(attacher.pipelinePid, 'SIGUSR1');
    // It would answer "Debugger listening": give it the time of a round trip, then look for a TCP listener of its own.
    await attacher.ask({ do: 'write', text: 'after SIGUSR1' }).catch(() => undefined);
    expect(attacher.program.stderr).not.toContain('Debugger');
  });
});

system('refusals: exit code 3, what to do, nothing left behind', () => {
  const refusal = async (
    folder: Folder,
    cgroups: readonly string[],
    options: ConstructorParameters<typeof TestAttacher>[2] = {},
    launch: readonly string[] = [],
  ): Promise<string> => {
    await using attacher = new TestAttacher(folder, cgroups, options, launch);
    const ended = await attacher.program.ended;
    expect(ended.code).toBe(3);
    expect(ended.stderr.trim().split('\n').length).toBeGreaterThanOrEqual(2);
    expect(existsSync(folder.file('s.sock'))).toBe(false);
    expect(existsSync(folder.file('s.sock.lock'))).toBe(false);
    return ended.stderr;
  };

  it('a cgroup that is none', async () => {
    using folder = new Folder();
    expect(await refusal(folder, ['/no/such/cgroup'])).toMatch(/cgroup \/no\/such\/cgroup: no such folder/);
    expect(await refusal(folder, [folder.path])).toMatch(/not in a cgroup v2 hierarchy/);
    expect(await refusal(folder, [folder.write('file', '')])).toMatch(/not a folder/);
  });

  it('the path as /proc shows it: says which folder is meant', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    expect(await refusal(folder, [cgroup.name])).toContain(`Did you mean --cgroup ${cgroup.path}?`);
  });

  it('capabilities are missing', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    chmodSync(folder.path, 0o777);
    const launch = ['setpriv', '--reuid', '12345', '--regid', '12345', '--clear-groups'];
    const said = await refusal(folder, [cgroup.path], {}, launch);
    expect(said).toContain('cap_bpf and cap_net_admin are missing');
    expect(said).toContain('sudo headwater run');
  });

  it('a user that is not there, or root', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    expect(await refusal(folder, [cgroup.path], { user: 'no-such-user' })).toContain('useradd --system');
    expect(await refusal(folder, [cgroup.path], { user: 'root' })).toContain('must not be root');
  });

  it('a log that cannot be written', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    const log = (path: string) => ({ log: { path, compress: 'none', keep: 0 } as const });
    expect(await refusal(folder, [cgroup.path], log(folder.file('no', 'such', 'log')))).toMatch(
      /Cannot write the log .*ENOENT/,
    );
    expect(await refusal(folder, [cgroup.path], log(folder.path))).toMatch(/EISDIR/);
    await must(['mkfifo', folder.file('pipe')]);
    expect(await refusal(folder, [cgroup.path], log(folder.file('pipe')))).toMatch(/ENXIO[\s\S]*reader/);
  });

  it('a key that others may have read', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    mkdirSync(folder.file('state'));
    writeFileSync(folder.file('state', 'key'), Buffer.alloc(32), { mode: 0o644 });
    expect(await refusal(folder, [cgroup.path])).toContain('chmod 600');
  });

  it('a file where the socket should be: left alone', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    const path = folder.write('precious', 'data');
    await using attacher = new TestAttacher(folder, [cgroup], { socketPath: path });
    const ended = await attacher.program.ended;
    expect([ended.code, ended.stderr.includes('not a socket')]).toEqual([3, true]);
    expect(readFileSync(path, 'utf8')).toBe('data');
  });
});

system('one agent for each socket', () => {
  it('refuses the second with the pid of the first, which goes on', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using first = await TestAttacher.start(folder, [cgroup]);
    await using second = new TestAttacher(folder, [cgroup]);
    const ended = await second.program.ended;
    expect(ended.code).toBe(3);
    expect(ended.stderr).toContain(`another agent (pid ${first.pid}) serves ${first.socketPath}`);
    await first.ask({ do: 'write', text: 'still here' });
  });

  it('two that start at once: exactly one wins', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using a = new TestAttacher(folder, [cgroup]);
    await using b = new TestAttacher(folder, [cgroup]);
    const lost = await Promise.race([a.program.ended, b.program.ended]);
    expect(lost.code).toBe(3);
    const winner = a.program.running ? a : b;
    await winner.ready();
    expect((await winner.stop()).code).toBe(0);
  });

  it('a killed one leaves nothing that stops the next', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using first = await TestAttacher.start(folder, [cgroup]);
    const { pipelinePid } = first;
    first.program.signal('SIGKILL');
    await first.program.ended;
    expect(existsSync(first.socketPath)).toBe(true);
    await using second = await TestAttacher.start(folder, [cgroup]);
    expect((await second.stop()).code).toBe(0);
    expect(existsSync(second.socketPath)).toBe(false);
    await until('end of the first pipeline', () => !alive(pipelinePid));
  });
});

system('life cycle', () => {
  it.each(['SIGINT', 'SIGTERM'] as const)('%s drains the pipeline and takes its exit code', async (signal) => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const ended = await attacher.stop(signal);
    expect(ended.code).toBe(0);
    expect(readFileSync(attacher.logPath, 'utf8')).toContain(`drained: ${signal}`);
    expect(alive(attacher.pipelinePid)).toBe(false);
    expect(existsSync(attacher.socketPath)).toBe(false);
  });

  it('Ctrl-C reaches both: the pipeline still drains', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    process.kill(-attacher.pid, 'SIGINT');
    expect((await attacher.program.ended).code).toBe(0);
    expect(readFileSync(attacher.logPath, 'utf8')).toContain('drained: SIGINT');
  });

  it('a second signal ends a pipeline that hangs', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    await attacher.ask({ do: 'hang' });
    attacher.program.signal('SIGTERM');
    await until('drain', () => readFileSync(attacher.logPath, 'utf8').includes('drained'));
    attacher.program.signal('SIGTERM');
    const ended = await attacher.program.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('ended at once (SIGTERM)');
    expect(alive(attacher.pipelinePid)).toBe(false);
  });

  it('a killed pipeline is reported with its signal', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    process.kill(attacher.pipelinePid, 'SIGKILL');
    const ended = await attacher.program.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('ended by SIGKILL');
    expect(existsSync(attacher.socketPath)).toBe(false);
  });

  it('a pipeline that ends with a code passes it on', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    await attacher.ask({ do: 'exit', count: 7 }).catch(() => undefined);
    const ended = await attacher.program.ended;
    expect(ended.code).toBe(7);
    expect(ended.stderr).toContain('code 7');
  });

  it('the pipeline of a killed attacher finishes by itself', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const { pipelinePid } = attacher;
    attacher.program.signal('SIGKILL');
    await until('end of the pipeline', () => !alive(pipelinePid));
    expect(readFileSync(attacher.logPath, 'utf8')).toContain('the attacher is gone');
  });

  it('an entry that does not exist ends with its error, and cleans up', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = new TestAttacher(folder, [cgroup], { pipelineEntry: folder.file('missing.ts') });
    const ended = await attacher.program.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain('missing.ts');
    expect(existsSync(attacher.socketPath)).toBe(false);
  });
});

system('the log', () => {
  it('SIGHUP opens it again, rotation renames it, both by descriptor', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    await must(['mv', attacher.logPath, folder.file('moved')]);
    attacher.program.signal('SIGHUP');
    await until(
      'new log',
      () => existsSync(attacher.logPath) && readFileSync(attacher.logPath, 'utf8') === 'reopened\n',
    );
    expect(await attacher.ask({ do: 'rotate' })).toEqual({ ok: true, archive: false });
    await attacher.ask({ do: 'write', text: 'after' });
    expect(readFileSync(attacher.logPath, 'utf8')).toBe('after\n');
    const [closed] = readdirSync(folder.path).filter((name) => name.startsWith('log.ndjson.'));
    expect(readFileSync(folder.file(closed!), 'utf8')).toBe('reopened\n');
    expect(statSync(attacher.logPath).uid).toBe(0);
  });

  it('rotates below the folder of another user, as it could open there', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    mkdirSync(folder.file('theirs'));
    await must(['chown', '12345', folder.file('theirs')]);
    const path = folder.file('theirs', 'log');
    await using attacher = await TestAttacher.start(folder, [cgroup], { log: { path, compress: 'none', keep: 0 } });
    expect(await attacher.ask({ do: 'rotate' })).toEqual({ ok: true, archive: false });
    expect(readdirSync(folder.file('theirs'))).toHaveLength(2);
  });

  it('compresses by handing over both files, and keeps as many as told', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    const path = folder.file('log');
    await using attacher = await TestAttacher.start(folder, [cgroup], { log: { path, compress: 'zstd', keep: 3 } });
    for (let i = 0; i < 6; i++) {
      expect(await attacher.ask({ do: 'rotate' })).toEqual({ ok: true, archive: true });
      await attacher.ask({ do: 'archived', ok: i !== 5 });
    }
    const closed = readdirSync(folder.path).filter((name) => name.startsWith('log.'));
    expect(closed).toHaveLength(3);
    // The last archive was given up: its source stayed.
    expect(closed.filter((name) => name.endsWith('.zst'))).toHaveLength(2);
  });

  it('says why it cannot rotate, and the pipeline keeps its descriptor', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    await must(['rm', attacher.logPath]);
    const answer = await attacher.ask<{ ok: boolean; why: string }>({ do: 'rotate' });
    expect(answer.ok).toBe(false);
    expect(answer.why).toContain('ENOENT');
    await attacher.ask({ do: 'write', text: 'still writing' });
  });
});

system('a hostile pipeline', () => {
  const broken = async (text: string): Promise<string> => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    await attacher.ask({ do: 'raw', text }).catch(() => undefined);
    const ended = await attacher.program.wait(20_000);
    expect(ended.code).toBe(1);
    expect(alive(attacher.pipelinePid)).toBe(false);
    return ended.stderr;
  };

  it.each([
    ['no JSON', 'hello\n'],
    ['no object', '[1]\n'],
    ['an operation that is not there', '{"type":"request","id":1,"op":"exec","path":"/bin/sh"}\n'],
    ['a prototype name', '{"type":"request","id":1,"op":"__proto__"}\n'],
    ['no id', '{"type":"request","op":"rotate"}\n'],
    ['an address that is none', '{"type":"request","id":1,"op":"owners","tuples":[["../../etc",1,"1.2.3.4",1,0]]}\n'],
    ['a port out of range', '{"type":"request","id":1,"op":"owners","tuples":[["1.2.3.4",70000,"1.2.3.4",1,0]]}\n'],
    ['too many pids', `{"type":"request","id":1,"op":"processes","pids":[${Array(65).fill(1).join(',')}]}\n`],
    ['a pid that is a path', '{"type":"request","id":1,"op":"processes","pids":["self/../1"]}\n'],
    ['deep nesting', `${'['.repeat(15_000)}\n`],
    ['a second start', '{"type":"confined"}\n'],
  ])('%s ends it', async (_, text) => {
    expect(await broken(text)).toContain('broke the control protocol');
  });

  it('a line without end ends it', async () => {
    expect(await broken('x'.repeat(20_000))).toContain('a line is too long');
  });

  it('paths in a request are not looked at', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    await attacher.ask({
      do: 'raw',
      text: `${JSON.stringify({ type: 'request', id: 9e6, op: 'reopen', path: folder.file('evil') })}\n`,
    });
    await attacher.ask({ do: 'usage' });
    expect(existsSync(folder.file('evil'))).toBe(false);
  });

  it('a flood of requests waits; the attacher stays small and answers', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    const line = '{"type":"request","id":1,"op":"usage"}\n';
    await attacher.ask({ do: 'raw', text: line, count: 1_500 });
    const rss = (): number =>
      Number(/^VmRSS:\s*(\d+)/m.exec(readFileSync(`/proc/${attacher.pid}/status`, 'latin1'))![1]);
    const before = rss();
    expect(await attacher.ask({ do: 'usage' })).toMatchObject({ ok: true });
    expect(rss() - before).toBeLessThan(32 * 1024);
    expect((await attacher.stop()).code).toBe(0);
  });

  it('learns nothing about processes outside the observed cgroups', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using inside = new Program(['sleep', '60'], { cgroup });
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    await until('exec', () => readFileSync(`/proc/${inside.pid}/comm`, 'latin1') === 'sleep\n');
    const answer = await attacher.ask<{ value: unknown[] }>({
      do: 'processes',
      pids: [inside.pid, process.pid, 4_000_000],
    });
    expect(answer.value).toEqual([
      { pid: inside.pid, name: 'sleep', cgroup: cgroup.name, container: null },
      null,
      null,
    ]);
  });
});

withKernel('attached to the kernel', () => {
  /** A server in the cgroup and a client that calls it again and again over one connection. */
  const server = `import { createServer } from 'node:http';
createServer((q, r) => r.end('ok')).listen(0, '127.0.0.1', function () { console.log('port ' + this.address().port); });`;
  const client = `import http from 'node:http';
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
let calls = 0;
const next = () => http.get({ port: process.argv[2], agent }, (r) => {
  if (r.statusCode !== 200) process.exit(1);
  r.resume();
  r.on('end', () => { calls++; if (calls % 50 === 0) console.log(calls); setImmediate(next); });
}).on('error', () => process.exit(1));
next();`;

  it.each(['attacher', 'pipeline'] as const)(
    'SIGKILL of the %s: nothing attached, the client does not notice',
    async (victim) => {
      using folder = new Folder();
      await using cgroup = new Cgroup('att');
      await using serving = new Program([process.execPath, folder.write('server.mjs', server)], { cgroup });
      await serving.until('port', () => /port \d+\n/.test(serving.stdout));
      const port = /port (\d+)/.exec(serving.stdout)![1]!;
      await using calling = new Program([process.execPath, folder.write('client.mjs', client), port], { cgroup });
      await using attacher = await TestAttacher.start(folder, [cgroup], { attach: true });
      expect(await attached(cgroup)).toContain('headwater_in');
      process.kill(victim === 'attacher' ? attacher.pid : attacher.pipelinePid, 'SIGKILL');
      await attacher.program.ended;
      // Gone with the descriptors: the kernel releases them when the process is reaped.
      await until('detaching', async () => (await attached(cgroup)) === '');
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
    await using serving = new Program([process.execPath, folder.write('server.mjs', server)], { cgroup });
    await serving.until('port', () => /port \d+\n/.test(serving.stdout));
    const port = /port (\d+)/.exec(serving.stdout)![1]!;
    await using calling = new Program([process.execPath, folder.write('client.mjs', client), port], { cgroup });
    await calling.until('calls', () => calling.stdout.includes('50'));
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
          `import { createServer } from 'node:net'; createServer(() => {}).listen(0, '::', function () { console.log('port ' + this.address().port); });`,
        ),
      ],
      { cgroup },
    );
    await serving.until('port', () => /port \d+\n/.test(serving.stdout));
    const port = Number(/port (\d+)/.exec(serving.stdout)![1]);
    const four = await connected(port);
    const six = await connected(port, '::1');
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
    expect(await ask(attacher, cgroup, ['::1', port], ['::1', six.localPort!])).toEqual(owner);
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
    const port = 20_000 + (process.pid % 20_000);
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
