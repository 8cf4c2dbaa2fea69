import { expect, it } from 'vitest';
import { executableFiles } from './maps.ts';

const MAPS = `55d0c0a00000-55d0c0a20000 r--p 00000000 fe:00 1311 /usr/sbin/nginx
55d0c0a20000-55d0c0b00000 r-xp 00020000 fe:00 1311                       /usr/sbin/nginx
7f0000000000-7f0000100000 r-xp 00000000 00:2b 1311                       /usr/lib/other file system.so
7f0000200000-7f0000300000 r-xp 00000000 fe:00 77                         /opt/lib/libcrypto.so.3 (deleted)
7f0000300000-7f0000400000 r-xp 00100000 fe:00 77                         /opt/lib/libcrypto.so.3 (deleted)
7f0000400000-7f0000500000 rw-p 00000000 fe:00 78                         /opt/lib/data
7f0000500000-7f0000600000 r-xp 00000000 00:00 0                          /dev/zero (deleted)
7f0000600000-7f0000700000 r-xp 00000000 fe:00 80
7ffd00000000-7ffd00021000 r-xp 00000000 00:00 0                          [vdso]
nonsense
7f0000800000-7f0000900000 r-xp 00000000 fe:00 81                         /lib/ld-linux-x86-64.so.2
`;

it('files with code, each once by device and inode; what is likely to carry TLS first', () => {
  expect(executableFiles(MAPS)).toEqual([
    { key: 'fe:00:77', inode: 77, path: '/opt/lib/libcrypto.so.3', range: '7f0000200000-7f0000300000' },
    { key: 'fe:00:81', inode: 81, path: '/lib/ld-linux-x86-64.so.2', range: '7f0000800000-7f0000900000' },
    { key: 'fe:00:1311', inode: 1311, path: '/usr/sbin/nginx', range: '55d0c0a20000-55d0c0b00000' },
    { key: '00:2b:1311', inode: 1311, path: '/usr/lib/other file system.so', range: '7f0000000000-7f0000100000' },
  ]);
});

it('a range is named as below map_files: without leading zeros', () => {
  const maps = '00746000-00749000 r-xp 00346000 fe:00 5 /app/node\n';
  expect(executableFiles(maps)).toEqual([{ key: 'fe:00:5', inode: 5, path: '/app/node', range: '746000-749000' }]);
});

it('a process cannot make it remember more than a bounded number of files', () => {
  const lines = Array.from({ length: 5_000 }, (_, i) => `1000-2000 r-xp 00000000 fe:00 ${i + 1} /lib/l${i}.so`);
  expect(executableFiles(lines.join('\n'))).toHaveLength(1_024);
});
