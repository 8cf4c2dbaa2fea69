import {
  closeSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { smallElf } from '../../../test/fixtures/elf.ts';
import { HostFiles } from '../host.ts';
import { TapKeeper } from './keeper.ts';
import type { TapPoint } from './library.ts';

let root: string;
let attached: TapPoint[];
let open: Set<number>;
/** What the kernel answers to the next probe; 0: yes. */
let refusal: number;
let keeper: TapKeeper;

const file = (...names: string[]): string => join(root, ...names);
const isOpen = (fd: number): boolean => {
  try {
    return readFileSync(`/proc/self/fdinfo/${fd}`).length > 0;
  } catch {
    return false;
  }
};
const links = (): number => [...open].filter(isOpen).length;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'headwater-keeper-'));
  attached = [];
  open = new Set();
  refusal = 0;
  keeper = new TapKeeper(new HostFiles(root), (tap) => {
    if (refusal !== 0) return -refusal;
    attached.push(tap);
    const fd = openSync('/dev/null', 'r');
    open.add(fd);
    return fd;
  });
});
afterEach(() => {
  keeper.close();
  for (const fd of open) if (isOpen(fd)) closeSync(fd);
  rmSync(root, { recursive: true, force: true });
});

/** A process that runs these files, which are the same for all processes that name them alike. */
function start(pid: number, startedAt: number, names: readonly string[]): void {
  mkdirSync(file('proc', String(pid), 'root', 'lib'), { recursive: true });
  const fields = Array.from({ length: 50 }, (_, i) => (i === 19 ? startedAt : 0));
  writeFileSync(file('proc', String(pid), 'stat'), `${pid} (a b) S ${fields.slice(1).join(' ')}\n`);
  const lines = names.map((name, i) => {
    const path = file('proc', String(pid), 'root', 'lib', name);
    rmSync(path, { force: true });
    linkSync(file(name), path);
    return `${i + 1}000-${i + 2}000 r-xp 00000000 fe:00 ${statSync(path).ino} /lib/${name}`;
  });
  writeFileSync(file('proc', String(pid), 'maps'), `${lines.join('\n')}\n`);
}
const library = (name: string, symbol: string): void => writeFileSync(file(name), smallElf(symbol));
const end = (pid: number): void => rmSync(file('proc', String(pid)), { recursive: true });
const sweep = (...pids: number[]): void => {
  for (const _ of keeper.sweep(pids));
};

it('one probe for each file, however many processes run it; gone with the last one', () => {
  library('libcrypto.so.3', 'EVP_KDF_derive');
  library('libc.so.6', 'malloc');
  start(7, 100, ['libcrypto.so.3', 'libc.so.6']);
  start(8, 101, ['libcrypto.so.3']);
  keeper.look(7);
  keeper.look(8);
  expect(attached).toHaveLength(1);
  expect(attached[0]!.program).toBe('headwater_kdf');
  expect(keeper.status()).toEqual({ processes: 2, tapped: 1, untapped: 0, overflowed: 0 });
  expect(keeper.describe(7)).toMatchObject([{ path: '/lib/libcrypto.so.3', kind: 'openssl', tapped: true, gap: '' }]);
  end(7);
  sweep(8);
  expect(links()).toBe(1);
  end(8);
  sweep();
  expect(links()).toBe(0);
  expect(keeper.status()).toEqual({ processes: 0, tapped: 0, untapped: 0, overflowed: 0 });
});

it('a pid that another process has by now is looked at anew', () => {
  library('libcrypto.so.3', 'EVP_KDF_derive');
  library('libc.so.6', 'malloc');
  start(7, 100, ['libcrypto.so.3']);
  sweep(7);
  start(7, 200, ['libc.so.6']);
  sweep(7);
  expect(keeper.status()).toMatchObject({ processes: 1, tapped: 0 });
  expect(links()).toBe(0);
});

it('a library that is mapped later, and one that is unmapped', () => {
  library('ld.so', '_dl_debug_state');
  library('libcrypto.so.3', 'EVP_KDF_derive');
  start(7, 100, ['ld.so']);
  // Its linker could not tell so far.
  expect(keeper.look(7)).toBe(true);
  start(7, 100, ['ld.so', 'libcrypto.so.3']);
  expect(keeper.look(7)).toBe(false);
  expect(attached.map(({ program }) => program)).toEqual(['headwater_linked', 'headwater_kdf']);
  start(7, 100, ['ld.so']);
  keeper.look(7);
  expect(links()).toBe(1);
});

it('a library whose mapping was never told is found when all are looked at', () => {
  library('libc.so.6', 'malloc');
  library('libcrypto.so.3', 'EVP_KDF_derive');
  start(7, 100, ['libc.so.6']);
  sweep(7);
  start(7, 100, ['libc.so.6', 'libcrypto.so.3']);
  sweep(7);
  expect(attached).toEqual([]);
  for (const _ of keeper.sweep([7], true));
  expect(attached).toHaveLength(1);
});

it('says why a probe could not be attached', () => {
  library('libcrypto.so.3', 'EVP_KDF_derive');
  start(7, 100, ['libcrypto.so.3']);
  refusal = 1;
  keeper.look(7);
  expect(keeper.status()).toMatchObject({ tapped: 0, untapped: 1 });
  expect(keeper.describe(7)).toMatchObject([{ tapped: false, gap: 'the kernel refused the probe (errno 1)' }]);
});

it('an inode number that another file has by now is not taken for the file that had it', () => {
  library('libssl.so.3', 'SSL_read');
  start(7, 100, ['libssl.so.3']);
  keeper.look(7);
  const old = statSync(file('libssl.so.3'));
  end(7);
  // As where a file system gives a number again; the attacher has not heard of the process's end.
  renameSync(file('libssl.so.3'), file('libcrypto.so.3'));
  // Times of files are as coarse as the kernel's ticks.
  do library('libcrypto.so.3', 'EVP_KDF_derive');
  while (statSync(file('libcrypto.so.3')).ctimeMs === old.ctimeMs);
  expect(statSync(file('libcrypto.so.3')).ino).toBe(old.ino);
  start(8, 200, ['libcrypto.so.3']);
  keeper.look(8);
  expect(attached.map(({ program }) => program)).toEqual(['headwater_kdf']);
  expect(keeper.describe(8)).toMatchObject([{ path: '/lib/libcrypto.so.3', tapped: true }]);
  sweep(8);
  expect(links()).toBe(1);
  end(8);
  sweep();
  expect(links()).toBe(0);
});

it('a probe that was refused once is tried again for the next process', () => {
  library('libcrypto.so.3', 'EVP_KDF_derive');
  start(7, 100, ['libcrypto.so.3']);
  refusal = 12;
  keeper.look(7);
  expect(keeper.status()).toMatchObject({ tapped: 0, untapped: 1 });
  refusal = 0;
  start(8, 101, ['libcrypto.so.3']);
  keeper.look(8);
  expect(keeper.status()).toEqual({ processes: 2, tapped: 1, untapped: 0, overflowed: 0 });
  end(8);
  sweep(7);
  expect(links()).toBe(1);
});

it('a path that leads to another file by now is not taken for the one that runs', () => {
  library('libcrypto.so.3', 'EVP_KDF_derive');
  start(7, 100, ['libcrypto.so.3']);
  const path = file('proc', '7', 'root', 'lib', 'libcrypto.so.3');
  rmSync(path);
  writeFileSync(path, smallElf('EVP_KDF_derive'));
  keeper.look(7);
  expect(attached).toEqual([]);
  // The kernel's own way to the file (which here is a file of the test's).
  mkdirSync(file('proc', '7', 'map_files'));
  linkSync(file('libcrypto.so.3'), file('proc', '7', 'map_files', '1000-2000'));
  keeper.look(7);
  expect(attached).toHaveLength(1);
});

it('a process that is gone, or shows nonsense, is nothing', () => {
  keeper.look(4711);
  mkdirSync(file('proc', '9'), { recursive: true });
  writeFileSync(file('proc', '9', 'maps'), 'nonsense\n\0\0\n1000-2000 r-xp 0 fe:00 5 /gone\n');
  writeFileSync(file('proc', '9', 'stat'), 'nonsense');
  keeper.look(9);
  expect(keeper.status().processes).toBe(0);
  expect(keeper.describe(9)).toEqual([]);
});
