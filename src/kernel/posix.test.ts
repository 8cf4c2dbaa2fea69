import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PAGE } from './libbpf.ts';
import {
  adviseZero,
  descriptorPair,
  errnoName,
  listenUnix,
  lockFile,
  readCapabilities,
  receiveDescriptors,
  SOCKET_PATH_LENGTH_MAX,
  sendDescriptors,
  writeCapabilities,
} from './posix.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-posix-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const pair = (): readonly [number, number] => {
  const made = descriptorPair();
  if (typeof made === 'number') throw new Error(errnoName(made));
  return made;
};

describe('descriptor passing', () => {
  it('gives the receiver its own descriptors of the same files, in order', () => {
    const [a, b] = pair();
    const one = openSync(join(folder, 'one'), 'a');
    const two = openSync(join(folder, 'two'), 'a');
    expect(sendDescriptors(a, [one, two])).toBe(0);
    closeSync(one);
    closeSync(two);
    const got = receiveDescriptors(b) as number[];
    expect(got).toHaveLength(2);
    writeSync(got[0]!, 'first');
    writeSync(got[1]!, 'second');
    expect(readFileSync(join(folder, 'one'), 'utf8')).toBe('first');
    expect(readFileSync(join(folder, 'two'), 'utf8')).toBe('second');
    for (const fd of [a, b, ...got]) closeSync(fd);
  });

  it('never waits, and tells "none yet" from "gone"', () => {
    const [a, b] = pair();
    expect(receiveDescriptors(b)).toBe(-constants.errno.EAGAIN);
    closeSync(a);
    expect(receiveDescriptors(b)).toEqual([]);
    expect(sendDescriptors(b, [0])).toBe(-constants.errno.EPIPE);
    closeSync(b);
  });

  it('keeps messages apart', () => {
    const [a, b] = pair();
    sendDescriptors(a, [0]);
    sendDescriptors(a, [0, 1, 2]);
    const first = receiveDescriptors(b) as number[];
    const second = receiveDescriptors(b) as number[];
    expect([first.length, second.length]).toEqual([1, 3]);
    for (const fd of [a, b, ...first, ...second]) closeSync(fd);
  });
});

describe('listenUnix', () => {
  it('creates the socket with its mode from the start', () => {
    const path = join(folder, 's.sock');
    const fd = listenUnix(path, 0o600, 8);
    expect(fd).toBeGreaterThan(2);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(listenUnix(path, 0o600, 8)).toBe(-constants.errno.EADDRINUSE);
    closeSync(fd);
  });

  it('refuses a path that the address has no room for', () => {
    const path = join(folder, 'x'.repeat(SOCKET_PATH_LENGTH_MAX));
    expect(listenUnix(path, 0o600, 8)).toBe(-constants.errno.ENAMETOOLONG);
  });
});

describe('lockFile', () => {
  it('is held by one open file at a time and freed by closing it', () => {
    const path = join(folder, 'lock');
    const first = openSync(path, 'a');
    const second = openSync(path, 'a');
    expect(lockFile(first)).toBe(0);
    expect(errnoName(lockFile(second))).toBe('EAGAIN');
    closeSync(first);
    expect(lockFile(second)).toBe(0);
    closeSync(second);
  });
});

describe('capabilities', () => {
  it('reads what /proc shows and writes it back', () => {
    const sets = readCapabilities();
    const shown = /^CapPrm:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/thread-self/status', 'utf8'))?.[1];
    expect(sets.permitted).toBe(BigInt(`0x${shown}`));
    expect(writeCapabilities(sets)).toBe(0);
  });
});

describe('pages that nobody needs', () => {
  it('go, whole ones inside the bytes alone, also of memory that threads share', () => {
    const bytes = new Uint8Array(new SharedArrayBuffer(1 << 20)).fill(1);
    expect(adviseZero(bytes.subarray(100_000, 300_000))).toBe(0);
    const zeros = bytes.reduce((sum, byte) => sum + (byte === 0 ? 1 : 0), 0);
    expect(zeros % PAGE).toBe(0);
    expect(zeros).toBeGreaterThan(200_000 - 2 * PAGE);
    expect([bytes[99_999], bytes[200_000], bytes[300_000]]).toEqual([1, 0, 1]);
    expect(adviseZero(bytes.subarray(10, 20))).toBe(0);
    expect(bytes[15]).toBe(1);
  });
});
