import { closeSync, existsSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { LogFiles, type Rotation } from './log-files.ts';
import { Refusal } from './refusal.ts';

const rotate = (files: LogFiles, now = new Date('2026-11-22T10:00:00.500Z')): Rotation => {
  const rotation = files.rotate(now);
  if (rotation instanceof Refusal) throw new Error(String(rotation));
  return rotation;
};
const close = (rotation: Rotation): void => {
  closeSync(rotation.log);
  if (rotation.archive !== null) for (const fd of [rotation.archive.source, rotation.archive.target]) closeSync(fd);
};

describe('LogFiles', () => {
  it('appends to what is there, with a mode that others cannot read', () => {
    using folder = new Folder();
    const path = folder.write('log', 'old\n');
    const fd = new LogFiles({ path, compress: 'none', keep: 0 }).open() as number;
    writeSync(fd, 'new\n');
    closeSync(fd);
    expect(readFileSync(path, 'utf8')).toBe('old\nnew\n');
  });

  it('names rotations of one second apart, in order, also after pruning', () => {
    using folder = new Folder();
    const path = folder.file('log');
    const files = new LogFiles({ path, compress: 'none', keep: 2 });
    closeSync(files.open() as number);
    for (let i = 0; i < 5; i++) {
      const rotation = rotate(files);
      writeSync(rotation.log, `generation ${i + 1}`);
      close(rotation);
    }
    const closed = readdirSync(folder.path)
      .filter((name) => name !== 'log')
      .sort();
    expect(closed).toEqual(['log.20261122T100000Z-3', 'log.20261122T100000Z-4']);
    expect(closed.map((name) => readFileSync(folder.file(name), 'utf8'))).toEqual(['generation 3', 'generation 4']);
    expect(readFileSync(path, 'utf8')).toBe('generation 5');
  });

  it('leaves files alone that only look like its own', () => {
    using folder = new Folder();
    const path = folder.file('log');
    for (const name of ['log.bak', 'log.20261122T100000Z.bak', 'xlog.20261122T090000Z', 'lo', 'log.20261122T090000Z-x'])
      folder.write(name, '');
    const files = new LogFiles({ path, compress: 'none', keep: 1 });
    closeSync(files.open() as number);
    for (let i = 0; i < 3; i++) close(rotate(files));
    expect(readdirSync(folder.path)).toHaveLength(7);
  });

  it('one archive at a time; the next rotation stays uncompressed', () => {
    using folder = new Folder();
    const files = new LogFiles({ path: folder.file('log'), compress: 'gzip', keep: 0 });
    closeSync(files.open() as number);
    const first = rotate(files);
    const second = rotate(files);
    expect([first.archive === null, second.archive === null]).toEqual([false, true]);
    files.archived(true);
    files.archived(true);
    expect(readdirSync(folder.path).sort()).toEqual(['log', 'log.20261122T100000Z-1', 'log.20261122T100000Z.gz']);
    close(first);
    close(second);
  });

  it('puts the log back when a new one cannot be opened, and says why', () => {
    using folder = new Folder();
    const path = folder.file('sub', 'log');
    const files = new LogFiles({ path, compress: 'none', keep: 0 });
    expect(String(files.open())).toMatch(/Cannot write the log .*ENOENT/);
    expect(String(files.rotate(new Date()))).toMatch(/Cannot rotate the log .*ENOENT/);
    expect(existsSync(path)).toBe(false);
  });
});
