/**
 * The proof: loads the programs, attaches them to a cgroup made for it, lets a child there make one HTTP call over
 * loopback, and looks for it in the ring. Whatever the tables above say, this is what counts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findCgroupMount } from '../../attacher/scope.ts';
import type { CaptureSink } from '../../model/stages.ts';
import { blocks, type Finding, ok, warn } from './finding.ts';
import type { Machine } from './machine.ts';

const CHECK = 'self-probe';
const CALL_MS_MAX = 5_000;
const RING_BYTES = 1 << 18;
const ATTEMPTS_MAX = 50;

/** One call with a name of its own in request and response; waits until it is in the cgroup. */
const CALL = `
process.stdin.once('data', (name) => {
  const http = require('node:http');
  const server = http.createServer((request, response) => response.end(String(name)));
  server.listen(0, '127.0.0.1', () => http.get({ port: server.address().port, path: '/' + name, agent: false }, (response) => {
    response.resume();
    response.on('end', () => process.exit(0));
  }));
});`;

/** Runs the call in `folder`; true when it went through. */
const call = async (folder: string, name: string): Promise<boolean> => {
  const child: ChildProcess = spawn(process.execPath, ['-e', CALL], { stdio: ['pipe', 'ignore', 'ignore'], env: {} });
  const timer = setTimeout(() => child.kill('SIGKILL'), CALL_MS_MAX);
  const ended = new Promise<boolean>((resolve) => {
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
  child.stdin!.on('error', () => undefined);
  try {
    writeFileSync(join(folder, 'cgroup.procs'), String(child.pid));
    child.stdin!.end(name);
    return await ended;
  } catch {
    child.kill('SIGKILL');
    await ended;
    return false;
  } finally {
    clearTimeout(timer);
  }
};

const probeIn = async (folder: string): Promise<Finding> => {
  const [{ loadCapture }, { Ring }, { takeAnchor }] = await Promise.all([
    import('../../kernel/load.ts'),
    import('../../kernel/ring.ts'),
    import('../../kernel/clock.ts'),
  ]);
  const loaded = loadCapture({ ringBytes: RING_BYTES });
  if (!loaded.ok) return blocks(CHECK, loaded.error.message, loaded.error.detail.trim().split('\n').at(-1) ?? '', null);
  const capture = loaded.value;
  try {
    const attached = capture.attach(folder);
    if (!attached.ok) return blocks(CHECK, attached.error.message, attached.error.detail.trim(), null);
    const opened = Ring.open(capture.descriptors, capture.layout, takeAnchor());
    if (!opened.ok) return blocks(CHECK, opened.error.message, opened.error.detail, null);
    const ring = opened.value;
    try {
      const name = randomUUID();
      if (!(await call(folder, name)))
        return warn(
          CHECK,
          'the call over loopback did not succeed',
          'Programs load and attach; whether they see calls was not shown. Is the loopback interface up (ip link set lo up)?',
          null,
        );
      let seen = 0;
      const sink: CaptureSink = {
        segment(segment) {
          const { offset, captured, memory } = segment;
          if (memory.buf.latin1Slice(offset, offset + captured).includes(name)) seen++;
        },
        socket: () => undefined,
      };
      for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        if (ring.drain(sink, 4096) === 0 && seen > 0) break;
        await sleep(10);
      }
      // Request and response, each on both sides of the connection.
      return seen >= 2
        ? ok(CHECK, `loaded, attached, one call seen (owners by ${capture.variant})`)
        : blocks(
            CHECK,
            `loaded and attached, but the call was seen ${seen} times`,
            "The programs do not see this cgroup's traffic: please report it, with this output.",
            null,
          );
    } finally {
      ring.close();
    }
  } finally {
    capture.close();
  }
};

/** Skipped (and said so) where the checks before it have shown that it cannot work. */
export const selfProbe = async (machine: Machine, blocked: boolean): Promise<Finding> => {
  const mounted = findCgroupMount(machine.host.read('/proc/self/mountinfo') ?? '');
  if (blocked || mounted === null)
    return warn(CHECK, 'not tried: something above blocks', 'Fix that first, then run doctor again.', null);
  const folder = join(mounted.mount, `headwater-doctor-${process.pid}`);
  try {
    mkdirSync(folder);
  } catch (error) {
    return warn(
      CHECK,
      `not tried: cannot make a cgroup in ${mounted.mount} (${(error as NodeJS.ErrnoException).code})`,
      'Run doctor as root to try it.',
      null,
    );
  }
  try {
    return await probeIn(folder);
  } finally {
    await removeCgroup(folder);
  }
};

const removeCgroup = async (folder: string): Promise<void> => {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    try {
      rmdirSync(folder);
      return;
    } catch (error) {
      // The process has ended, its cgroup takes a moment to notice.
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY') return;
      await sleep(10);
    }
  }
};
