/** `run` on a machine that lacks what it needs: one message each, what to do, exit code 3. Each lack is made in a mount namespace of its own. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must, run } from '../rig/program.ts';

const BUILT = join(import.meta.dirname, '../../bpf/build');

const LACKS = [
  {
    what: 'cgroup v2',
    // Every mount of it, wherever it is.
    without: `for at in $(awk '/ - cgroup2 / { print $5 }' /proc/self/mountinfo); do umount -l "$at"; done`,
    says: /^headwater: Cannot find a cgroup v2 hierarchy: \/proc\/self\/mountinfo names none\.\n {2}Mount one: mkdir -p/,
  },
  {
    what: 'libbpf',
    without: `for at in $(ldconfig -p | awk '/libbpf\\.so\\.1/ { print $NF }'); do mount --bind /dev/null "$at"; done`,
    says: /^headwater: Cannot load libbpf\.so\.1\.\n {2}install it: apt-get install libbpf1 /,
  },
  {
    what: 'the kernel programs',
    without: `mount -t tmpfs none '${BUILT}'`,
    says: /^headwater: Cannot find \S+\.bpf\.o\.\n {2}build the kernel programs with tools\/bpf\/build \(needs clang\)\n$/,
  },
] as const;

when(test, 'root', 'cgroup2', 'bpf', 'unshare').each(LACKS)('without $what', async ({ without, says }) => {
  using folder = new Folder();
  await using cgroup = new Cgroup('machine');
  const data = folder.file('data');
  mkdirSync(data);
  const command = [HEADWATER, 'run', '--socket', folder.file('s'), '--data', data, '--cgroup', cgroup.path];
  const ended = await run(['unshare', '--mount', 'sh', '-c', `${without}\nexec "$@"`, 'sh', ...command]);
  expect([ended.code, ended.stdout]).toEqual([3, '']);
  expect(ended.stderr).toMatch(says);
});

when(
  test,
  'root',
  'cgroup2',
  'bpf',
  'clang',
)('on a kernel that is too old', async () => {
  using folder = new Folder();
  await using cgroup = new Cgroup('machine');
  const old = folder.file('old-kernel.so');
  await must(['clang', '-shared', '-fPIC', '-O1', '-o', old, join(import.meta.dirname, '../rig/old-kernel.c')]);
  const command = [HEADWATER, 'run', '--socket', folder.file('s'), '--no-store', '--cgroup', cgroup.path];
  const ended = await run(command, { env: { LD_PRELOAD: old } });
  expect([ended.code, ended.stdout]).toEqual([3, '']);
  expect(ended.stderr).toMatch(
    /^headwater: Cannot load the kernel programs \(E\w+\)\.\n {2}Linux \S+ lacks ring buffer, which carries records to user space \(Linux 5\.8\)\. Boot Linux 5\.10 or newer; headwater doctor says how\n$/,
  );
});
