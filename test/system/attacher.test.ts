/** The two processes: who they are in /proc, how they end, and the log that one opens for the other. */
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import { alive, everyThread, mask, until } from './attacher/proc.ts';
import { TestAttacher } from './attacher/rig.ts';

const NOBODY = 65534;
const none = '0000000000000000';
const system = when(describe, 'root', 'cgroup2');

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
    expect(readFileSync(`/proc/${attacher.pid}/environ`, 'latin1')).toBe(
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin\0MALLOC_ARENA_MAX=1\0MALLOC_MMAP_THRESHOLD_=1048576\0',
    );
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
    expect(Object.keys(handover.environment)).toEqual(['PATH', 'MALLOC_ARENA_MAX', 'MALLOC_MMAP_THRESHOLD_']);
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

  when(it, 'readable')('runs without root, on three ambient capabilities, and passes none of them on', async () => {
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
      '+bpf,+perfmon,+net_admin',
      '--ambient-caps',
      '+bpf,+perfmon,+net_admin',
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
