/** What the attacher refuses: a machine that does not allow it, and a pipeline that asks for more than it may. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must, Program } from '../rig/program.ts';
import { alive, until } from './attacher/proc.ts';
import { TestAttacher } from './attacher/rig.ts';

const system = when(describe, 'root', 'cgroup2');

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

  when(it, 'readable')('capabilities are missing', async () => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    chmodSync(folder.path, 0o777);
    const launch = ['setpriv', '--reuid', '12345', '--regid', '12345', '--clear-groups'];
    const said = await refusal(folder, [cgroup.path], {}, launch);
    expect(said).toContain('cap_bpf, cap_perfmon, cap_net_admin are missing');
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

system('a hostile pipeline', () => {
  const broken = async (text: string): Promise<string> => {
    using folder = new Folder();
    await using cgroup = new Cgroup('att');
    await using attacher = await TestAttacher.start(folder, [cgroup]);
    await attacher.ask({ do: 'raw', text }).catch(() => undefined);
    const ended = await attacher.program.wait(90_000);
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
