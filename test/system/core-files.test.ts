/**
 * R11 and R12: a crash of either process leaves no core, which would hold everybody's headers and secrets. Truth is the kernel's own word: the exit
 * status of a process that nobody has waited for yet has a bit that says whether its memory was dumped (wait(2), WCOREDUMP), wherever core files go.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { Program } from '../rig/program.ts';

const CORE_DUMPED = 0x80;
const SIGNALS = { SIGABRT: 6, SIGSEGV: 11 } as const;
/** Of /proc/PID/stat (proc(5)), counted behind the name in parentheses: state, and exit_code. */
const STATE = 0;
const EXIT_CODE = 49;
const needs = ['root', 'cgroup2', 'bpf'] as const;

const statOf = (pid: number): string[] => {
  const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return text
    .slice(text.lastIndexOf(')') + 2)
    .trim()
    .split(' ');
};
const childrenOf = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').trim().split(' ').filter(Boolean).map(Number);

/** How `pid` ends by `signal`: its parent is stopped, so that nobody takes the answer away. */
async function endedBy(signal: keyof typeof SIGNALS, pid: number, parent: number): Promise<number> {
  process.kill(parent, 'SIGSTOP');
  // Told is not stopped yet: it may still be about to wait for its child.
  while (statOf(parent)[STATE] !== 'T') await sleep(10);
  process.kill(pid, signal);
  while (statOf(pid)[STATE] !== 'Z') await sleep(10);
  const code = Number(statOf(pid)[EXIT_CODE]);
  process.kill(parent, 'SIGCONT');
  return code;
}

/** `command` as the child of a shell that lets it dump as much as it wants. */
const allowed = (folder: Folder, command: readonly string[]): Program =>
  new Program(['bash', '-c', 'ulimit -c unlimited; "$@"; true', 'shell', ...command], { cwd: folder.path });

/** Whether any other program here leaves a core: else nothing would be shown. */
async function machineDumps(): Promise<boolean> {
  using folder = new Folder();
  await using shell = allowed(folder, ['sleep', '60']);
  // A child of a moment ago may be gone by now.
  const isSleep = (pid: number): boolean => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'latin1') === 'sleep\n';
    } catch {
      return false;
    }
  };
  await shell.until('sleep', () => childrenOf(shell.pid).some(isSleep));
  return (
    (await endedBy('SIGSEGV', childrenOf(shell.pid).find(isSleep)!, shell.pid)) === (SIGNALS.SIGSEGV | CORE_DUMPED)
  );
}

when(describe, ...needs)('a crash', () => {
  it.for([
    ['pipeline', 'SIGSEGV'],
    ['attacher', 'SIGABRT'],
  ] as const)('of the %s by %s leaves no core', async ([role, signal], { skip }) => {
    if (!(await machineDumps()))
      skip('this machine dumps no memory at all: see ulimit -Hc and /proc/sys/kernel/core_pattern');
    using folder = new Folder();
    await using cgroup = new Cgroup('core');
    const config = folder.write('headwater.yaml', 'tls:\n  secrets: false\n');
    const socket = folder.file('headwater.sock');
    const args = ['--no-store', '--socket', socket, '--cgroup', cgroup.path, '--config', config];
    await using shell = allowed(folder, [HEADWATER, 'run', ...args]);
    await shell.until('capturing', () => shell.stderr.includes('capturing'));
    const [attacher] = childrenOf(shell.pid);
    const [pipeline] = childrenOf(attacher!);
    const [pid, parent] = role === 'pipeline' ? [pipeline!, attacher!] : [attacher!, shell.pid];
    expect(readFileSync(`/proc/${pid}/limits`, 'latin1')).toMatch(/^Max core file size\s+0\s+0\s/m);
    expect(await endedBy(signal, pid, parent)).toBe(SIGNALS[signal]);
  });
});
