import { join } from 'node:path';
import { Folder } from '../../rig/folder.ts';
import type { Host } from '../../rig/netns.ts';
import { must } from '../../rig/program.ts';

/** Makes what `hosts` send lossy (lossy.bpf.c). It goes away with their network namespaces. */
export async function spoil(hosts: readonly Host[], dropEvery = 13, copyEvery = 7): Promise<void> {
  using folder = new Folder();
  const object = folder.file('lossy.bpf.o');
  const machine = (await must(['uname', '-m'])).trim();
  await must(
    ['clang', '-target', 'bpf', '-O2', '-g', '-Wall', '-Werror', '-I', `/usr/include/${machine}-linux-gnu`].concat(
      [`-DDROP_EVERY=${dropEvery}`, `-DCOPY_EVERY=${copyEvery}`, '-c', join(import.meta.dirname, 'lossy.bpf.c')],
      ['-o', object],
    ),
  );
  for (const { netns, device } of hosts) {
    const inside = (...command: string[]): Promise<string> =>
      must(['nsenter', `--net=/run/netns/${netns}`, '--', ...command]);
    await inside('tc', 'qdisc', 'add', 'dev', device, 'clsact');
    await inside('tc', 'filter', 'add', 'dev', device, 'egress', 'bpf', 'direct-action', 'obj', object, 'sec', 'tc');
  }
}
