/** What /proc says of a process, as the tests of the two processes ask it. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** Running: neither gone nor a zombie. */
export const alive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
/** Waits for as long as a busy machine may take. */
export const until = async (what: string, ready: () => boolean | Promise<boolean>): Promise<void> => {
  for (let i = 0; i < 9_000; i++) {
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
/** The value that all threads share; several when they differ. */
export const everyThread = (pid: number, field: string): string => [...new Set(threads(pid, field))].join(' | ');
/** A capability set as /proc prints it. */
export const mask = (...numbers: number[]): string =>
  numbers
    .reduce((set, n) => set | (1n << BigInt(n)), 0n)
    .toString(16)
    .padStart(16, '0');
