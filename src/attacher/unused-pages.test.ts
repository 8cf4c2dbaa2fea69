import { readFileSync } from 'node:fs';
import { expect, test, vi } from 'vitest';
import { HostFiles } from './host.ts';
import { candidates, fileOnlyMappings, GROWN_BYTES, UnusedPages } from './unused-pages.ts';

const entry = (head: string, anonymousKb: number): string =>
  `${head}\nSize:   8 kB\nRss:   8 kB\nPss:   4 kB\nAnonymous:   ${anonymousKb} kB\nAnonHugePages:   0 kB\nVmFlags: rd mr\n`;

test('only unchanged pages of files that nobody may write through the mapping', () => {
  const smaps = [
    entry('00400000-00402000 r--p 00000000 fe:00 11 /usr/bin/node', 0),
    entry('00402000-00406000 r-xp 00002000 fe:00 11 /usr/bin/node', 0),
    entry('00406000-00408000 r--p 00006000 fe:00 11 /usr/bin/node', 4),
    entry('00408000-0040a000 rw-p 00008000 fe:00 11 /usr/bin/node', 0),
    entry('0040a000-0040c000 rw-p 00000000 00:00 0 [heap]', 8),
    entry('7f0000000000-7f0000002000 r--s 00001000 00:0e 77 anon_inode:bpf-map', 0),
    entry('7f0000004000-7f0000006000 r-xp 00000000 00:00 0 [vdso]', 0),
  ].join('');
  const found = fileOnlyMappings(smaps.split('\n'));
  expect(found).toEqual([
    { line: '00400000-00402000 r--p 00000000 fe:00 11 /usr/bin/node', from: 0x400000n, bytes: 0x2000n },
    { line: '00402000-00406000 r-xp 00002000 fe:00 11 /usr/bin/node', from: 0x402000n, bytes: 0x4000n },
  ]);
  expect(fileOnlyMappings([])).toEqual([]);
  expect(fileOnlyMappings(['00400000-00402000 r--p 00000000 fe:00 11 /cut'])).toEqual([]);
  // Which of them have no page that was changed, only smaps tells; those that were found are looked for by their whole line.
  const lines = candidates(smaps);
  expect([...lines].map((line) => line.slice(0, 8))).toEqual(['00400000', '00402000', '00406000']);
  expect(found.every(({ line }) => lines.has(line))).toBe(true);
  expect(candidates('00402000-00406000 rw-p 00000000 00:00 0 \n')).toEqual(new Set());
});

test('a process that has not grown is left alone', () => {
  const unused = new UnusedPages(new HostFiles());
  const times = vi.spyOn(unused, 'giveBack').mockImplementation(() => undefined);
  const base = 100 << 20;
  for (const rss of [base, base + GROWN_BYTES - 1, base - 4096, base, base + GROWN_BYTES - 4097]) unused.look(rss);
  expect(times).not.toHaveBeenCalled();
  unused.look(base - 4096 + GROWN_BYTES);
  expect(times).toHaveBeenCalledOnce();
});

test('this very process goes on, with fewer pages of its runtime', () => {
  const runtimeKb = (): number =>
    readFileSync('/proc/self/smaps', 'latin1')
      .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
      .filter((mapping) => / r-xp .*\/node$/m.test(mapping))
      .reduce((sum, mapping) => sum + Number(/^Rss:\s+(\d+) kB/m.exec(mapping)![1]), 0);
  const before = runtimeKb();
  const unused = new UnusedPages(new HostFiles());
  for (let time = 1; time <= 2; time++) {
    unused.giveBack();
    expect(runtimeKb()).toBeLessThan(before);
    expect(JSON.parse(JSON.stringify({ still: [1, 2, 3] }))).toEqual({ still: [1, 2, 3] });
  }
});
