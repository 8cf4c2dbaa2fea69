import { rmSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FakeHost } from '../../test/system/attacher/fake-host.ts';
import { CgroupPaths } from './cgroups.ts';
import { Owners } from './owners.ts';
import { ProcessCache, readProcess, startTime, unifiedPath } from './processes.ts';

const HEADER = 'sl local rem st q tr tm uid t inode\n';
const row = (local: string, remote: string, state: string, inode: number): string =>
  ` 0: ${local} ${remote} ${state} 0:0 0:0 0 0 0 ${inode} 1\n`;
const LOOPBACK = '0100007F';
const stat = (name: string, started: number): string =>
  `7 (${name}) S ${Array.from({ length: 18 }, () => 1).join(' ')} ${started} 1`;

/** A process with its sockets, in a network namespace with a table. */
const process = (
  pid: number,
  inodes: readonly number[],
  table: string,
  { cgroup = '/a', namespace = 'net:[1]', started = pid, name = 'x' } = {},
) => ({
  [`/proc/${pid}/comm`]: `${name}\n`,
  [`/proc/${pid}/cgroup`]: `1:cpu:/\n0::${cgroup}\n`,
  [`/proc/${pid}/stat`]: stat(name, started),
  [`/proc/${pid}/ns/net`]: { link: namespace },
  [`/proc/${pid}/net/tcp`]: HEADER + table,
  ...Object.fromEntries(inodes.map((inode, fd) => [`/proc/${pid}/fd/${fd}`, { link: `socket:[${inode}]` }])),
});
const MOUNT = '/sys/fs/cgroup';
const TUPLE = {
  localAddress: '127.0.0.1',
  localPort: 8080,
  remoteAddress: '127.0.0.1',
  remotePort: 50000,
  cgroupId: 0,
};
const LISTEN = row(`${LOOPBACK}:1F90`, '00000000:0000', '0A', 10);
const ESTABLISHED = row(`${LOOPBACK}:1F90`, `${LOOPBACK}:C350`, '01', 11);

describe('Owners', () => {
  const resolve = (host: FakeHost, tuple = TUPLE, cgroups = [MOUNT]) =>
    new Owners(host.files, MOUNT, cgroups).resolve([tuple], 0)[0];

  it('one holder owns the socket', () => {
    using host = new FakeHost({
      [`${MOUNT}/a/cgroup.procs`]: '5\n6\n',
      ...process(5, [10], LISTEN + ESTABLISHED),
      ...process(6, [10, 11], LISTEN + ESTABLISHED, { name: 'worker' }),
    });
    expect(resolve(host)).toEqual({ pid: 6, name: 'worker', cgroup: '/a', container: null, evidence: 'socket' });
  });

  it('several holders: the group, by its oldest', () => {
    using host = new FakeHost({
      [`${MOUNT}/a/cgroup.procs`]: '9\n6\n',
      ...process(9, [10, 11], LISTEN + ESTABLISHED, { started: 1 }),
      ...process(6, [10, 11], LISTEN + ESTABLISHED, { started: 2 }),
    });
    expect(resolve(host)).toMatchObject({ pid: 9, evidence: 'listener' });
  });

  it('not accepted yet: whoever listens', () => {
    using host = new FakeHost({
      [`${MOUNT}/a/cgroup.procs`]: '5\n',
      ...process(5, [10], LISTEN + row(`${LOOPBACK}:1F90`, `${LOOPBACK}:C350`, '01', 0)),
    });
    expect(resolve(host)).toMatchObject({ pid: 5, evidence: 'listener' });
  });

  it('a listener on any address, also a dual-stack one', () => {
    using host = new FakeHost({
      [`${MOUNT}/a/cgroup.procs`]: '5\n',
      ...process(5, [12], ''),
      '/proc/5/net/tcp6': HEADER + row(`${'0'.repeat(32)}:1F90`, `${'0'.repeat(32)}:0000`, '0A', 12),
    });
    expect(resolve(host)).toMatchObject({ pid: 5, evidence: 'listener' });
  });

  it('the same addresses in two namespaces: no guess, unless the cgroup tells', () => {
    using host = new FakeHost({
      [`${MOUNT}/a/cgroup.procs`]: '5\n',
      [`${MOUNT}/b/cgroup.procs`]: '6\n',
      ...process(5, [11], ESTABLISHED),
      ...process(6, [21], row(`${LOOPBACK}:1F90`, `${LOOPBACK}:C350`, '01', 21), {
        cgroup: '/b',
        namespace: 'net:[2]',
      }),
    });
    expect(resolve(host)).toBeNull();
    expect(resolve(host, { ...TUPLE, cgroupId: host.files.inode(`${MOUNT}/b`) })).toMatchObject({
      pid: 6,
      cgroup: '/b',
      evidence: 'socket',
    });
  });

  it('tells who listens, by port and cgroup', () => {
    using host = new FakeHost({
      [`${MOUNT}/a/cgroup.procs`]: '5\n6\n',
      ...process(5, [10], LISTEN),
      ...process(6, [10], ''),
    });
    const owners = new Owners(host.files, MOUNT, [MOUNT]);
    expect(owners.listeners(0)).toMatchObject([
      { port: 8080, cgroupId: host.files.inode(`${MOUNT}/a`), process: { pid: 5, evidence: 'listener' } },
    ]);
  });

  it('looks only at processes inside the observed cgroups', () => {
    using host = new FakeHost({
      [`${MOUNT}/a/cgroup.procs`]: '5\n',
      [`${MOUNT}/b/cgroup.procs`]: '',
      ...process(5, [11], ESTABLISHED),
    });
    expect(resolve(host, TUPLE, [`${MOUNT}/b`])).toBeNull();
    expect(resolve(host, TUPLE, [`${MOUNT}/a`])).toMatchObject({ pid: 5 });
  });

  it('looks twice a second at most', () => {
    using host = new FakeHost({ [`${MOUNT}/a/cgroup.procs`]: '5\n', ...process(5, [], ESTABLISHED) });
    const owners = new Owners(host.files, MOUNT, [MOUNT]);
    expect(owners.resolve([TUPLE], 0)).toEqual([null]);
    host.add({ '/proc/5/fd/0': { link: 'socket:[11]' } });
    expect(owners.resolve([TUPLE], 499)).toEqual([null]);
    expect(owners.resolve([TUPLE], 500)).toMatchObject([{ pid: 5 }]);
  });

  it('says nothing of a connection that the last look did not look for, whoever listens there', () => {
    const listening = row(`${LOOPBACK}:1F90`, `${'0'.repeat(8)}:0000`, '0A', 10);
    using host = new FakeHost({ [`${MOUNT}/a/cgroup.procs`]: '5\n', ...process(5, [10], listening) });
    const owners = new Owners(host.files, MOUNT, [MOUNT]);
    const other = { ...TUPLE, remotePort: 50_001 };
    expect(owners.resolve([TUPLE], 0)).toMatchObject([{ evidence: 'listener' }]);
    expect(owners.resolve([other], 499)).toEqual([null]);
    expect(owners.resolve([other], 500)).toMatchObject([{ evidence: 'listener' }]);
  });

  it('finds the one it was asked for among many, in tables that are read in pieces, IPv6 and mapped addresses too', () => {
    const many = Array.from({ length: 5_000 }, (_, i) =>
      row(`${LOOPBACK}:1F90`, `${LOOPBACK}:${(1_000 + i).toString(16).toUpperCase().padStart(4, '0')}`, '01', 100 + i),
    ).join('');
    const mapped = '0000000000000000FFFF0000';
    const v6 = `B80D0120${'0'.repeat(16)}01000000`;
    using host = new FakeHost({
      [`${MOUNT}/a/cgroup.procs`]: '5\n',
      ...process(5, [9_000, 9_001, 9_002], many + row(`${LOOPBACK}:1F90`, `${LOOPBACK}:C350`, '01', 9_000)),
      '/proc/5/net/tcp6':
        HEADER +
        row(`${mapped}${LOOPBACK}:1F90`, `${mapped}${LOOPBACK}:C351`, '01', 9_001) +
        row(`${v6}:1F90`, `${v6}:C352`, '01', 9_002),
    });
    expect(resolve(host)).toMatchObject({ pid: 5, evidence: 'socket' });
    expect(resolve(host, { ...TUPLE, remotePort: 50_001 })).toMatchObject({ pid: 5, evidence: 'socket' });
    const ipv6 = { ...TUPLE, localAddress: '2001:db8::1', remoteAddress: '2001:db8::1', remotePort: 50_002 };
    expect(resolve(host, ipv6)).toMatchObject({ pid: 5, evidence: 'socket' });
    expect(resolve(host, { ...TUPLE, remotePort: 49_999 })).toBeNull();
  });

  it('lives with processes that vanish and addresses that are none', () => {
    using host = new FakeHost({ [`${MOUNT}/a/cgroup.procs`]: '5\n0\n77\nx\n', ...process(5, [], ESTABLISHED) });
    expect(resolve(host)).toBeNull();
    expect(resolve(host, { ...TUPLE, localAddress: 'x' })).toBeNull();
  });
});

describe('processes', () => {
  it('reads a name with parentheses and spaces', () => {
    using host = new FakeHost({ ...process(5, [], '', { name: 'a) (b c', started: 42 }) });
    expect(readProcess(host.files, 5)).toEqual({ pid: 5, name: 'a) (b c', cgroup: '/a', container: null });
    expect(startTime(host.files, 5)).toBe(42);
    expect(startTime(host.files, 6)).toBe(-1);
  });

  it('forgets that a cgroup was removed', () => expect(unifiedPath('0::/a/b (deleted)\n')).toBe('/a/b'));

  it('keeps what was known of a process that ended, and reads a reused pid again', () => {
    using host = new FakeHost(process(5, [], ''));
    const cache = new ProcessCache(host.files);
    expect(cache.get(5, 0)?.name).toBe('x');
    expect(cache.get(6, 0)).toBeNull();
    host.add({ '/proc/5/comm': 'other\n' });
    expect(cache.get(5, 1_999)?.name).toBe('x');
    expect(cache.get(5, 2_000)?.name).toBe('other');
    rmSync(host.files.real('/proc/5'), { recursive: true });
    expect(cache.get(5, 61_999)?.name).toBe('other');
    // Whoever has the pid by then, and is gone too, is another one.
    expect(cache.get(5, 62_000)).toBeNull();
  });
});

describe('CgroupPaths', () => {
  it('finds a new cgroup at the next walk, not before', () => {
    using host = new FakeHost({ [`${MOUNT}/a/b`]: null });
    const paths = new CgroupPaths(host.files, MOUNT);
    const id = (path: string): number => host.files.inode(MOUNT + path);
    expect(paths.path(id('/a/b'), 0)).toBe('/a/b');
    expect(paths.path(id(''), 0)).toBe('/');
    host.add({ [`${MOUNT}/c`]: null });
    expect(paths.path(id('/c'), 999)).toBe('');
    expect(paths.path(id('/c'), 1000)).toBe('/c');
    expect(paths.path(0, 5000)).toBe('');
  });
});
