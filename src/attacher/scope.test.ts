import { describe, expect, it } from 'vitest';
import { FakeHost } from '../../test/system/attacher/fake-host.ts';
import { Refusal } from './refusal.ts';
import { findCgroupMount, resolveScope } from './scope.ts';

const line = (root: string, mount: string, type: string): string =>
  `31 23 0:28 ${root} ${mount} rw,relatime shared:9 - ${type} ${type} rw`;

describe('findCgroupMount', () => {
  it.each([
    ['unified', [line('/', '/sys/fs/cgroup', 'cgroup2')], { mount: '/sys/fs/cgroup', hybrid: false }],
    [
      'hybrid',
      [
        line('/', '/sys/fs/cgroup', 'tmpfs'),
        line('/', '/sys/fs/cgroup/cpu', 'cgroup'),
        line('/', '/sys/fs/cgroup/unified', 'cgroup2'),
      ],
      { mount: '/sys/fs/cgroup/unified', hybrid: true },
    ],
    ['version 1 only', [line('/', '/sys/fs/cgroup/cpu', 'cgroup')], null],
    ['nothing', [], null],
    ['garbage', ['a - cgroup2', ' - ', '-'], null],
    [
      'elsewhere, with a space',
      [line('/', '/mnt/my\\040cgroups', 'cgroup2')],
      { mount: '/mnt/my cgroups', hybrid: false },
    ],
    [
      'a part bound elsewhere first',
      [line('/part', '/x', 'cgroup2'), line('/', '/sys/fs/cgroup', 'cgroup2')],
      { mount: '/sys/fs/cgroup', hybrid: false },
    ],
    [
      'only a part (a container without a namespace)',
      [line('/docker/1', '/sys/fs/cgroup', 'cgroup2')],
      { mount: '/sys/fs/cgroup', hybrid: false },
    ],
  ])('%s', (_, lines, expected) => {
    expect(findCgroupMount(lines.join('\n'))).toEqual(expected);
  });
});

describe('resolveScope', () => {
  it('refuses without a hierarchy, and says how to mount one', () => {
    using host = new FakeHost({ '/proc/self/mountinfo': '' });
    const refusal = resolveScope(host.files, []);
    expect(refusal).toBeInstanceOf(Refusal);
    expect(String(refusal)).toContain('mount -t cgroup2');
  });

  it('refuses a folder that only looks like a cgroup', () => {
    using host = new FakeHost({
      '/proc/self/mountinfo': line('/', '/sys/fs/cgroup', 'cgroup2'),
      '/sys/fs/cgroup/x/cgroup.procs': '',
    });
    expect(String(resolveScope(host.files, ['/sys/fs/cgroup/x']))).toContain('not in a cgroup v2 hierarchy');
  });

  it('refuses more cgroups than it attaches to', () => {
    using host = new FakeHost({ '/proc/self/mountinfo': line('/', '/sys/fs/cgroup', 'cgroup2') });
    expect(String(resolveScope(host.files, Array(65).fill('/x')))).toContain('at most 64');
  });
});
