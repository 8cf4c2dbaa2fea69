import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { readAtMost } from './bounded-file.ts';

test.each([0, 1, 65_535, 65_536, 65_537, 200_000])(
  '%i bytes, with room for just as many, more and one less',
  (size) => {
    using folder = new Folder();
    const path = folder.file('some');
    const bytes = Buffer.alloc(size, 'abcdefg');
    writeFileSync(path, bytes);
    expect(readAtMost(path, size)?.equals(bytes)).toBe(true);
    expect(readAtMost(path, 1 << 20)?.equals(bytes)).toBe(true);
    if (size > 0) expect(readAtMost(path, size - 1)).toBe(null);
  },
);

test('what says that it is empty and is not: read to its end, or refused', () => {
  expect(readAtMost('/proc/self/status', 1 << 20)!.toString()).toMatch(/^Name:/);
  expect(readAtMost('/dev/zero', 300_000)).toBe(null);
  expect(readAtMost('/dev/null', 300_000)).toHaveLength(0);
});

test('what cannot be read throws what the system says', () => {
  expect(() => readAtMost('/nowhere/at/all', 10)).toThrow(/ENOENT/);
  expect(() => readAtMost('/proc', 10)).toThrow(/EISDIR/);
});
