import { execFileSync } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { AttacherOpener } from '../../src/agent/log-source.ts';
import { LogFiles } from '../../src/attacher/log-files.ts';
import { Refusal } from '../../src/attacher/refusal.ts';
import { LogExporter } from '../../src/export/log/exporter.ts';
import { InheritedOpener, type LogOpener } from '../../src/export/log/opener.ts';
import { type LogEvent, LogWriter, type WriterOptions } from '../../src/export/log/writer.ts';
import { LossLedger } from '../../src/model/loss.ts';
import { id, ndjson } from './log-rig.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const rig = (opener: LogOpener, options: Partial<WriterOptions> = {}) => {
  const losses = new LossLedger();
  const events: LogEvent[] = [];
  const writer = new LogWriter({
    opener,
    losses,
    report: (e) => events.push(e),
    queueBytes: 1 << 20,
    rotateBytes: null,
    rotateAgeMs: null,
    ...options,
  });
  return { writer, losses, events };
};
const path = (name = 'calls.ndjson') => join(folder, name);

/** The agent's own opener; the attacher behind it is its file handling, in this process. */
function opener({
  name = 'calls.ndjson',
  keep = 100,
  compress = 'none' as 'none' | 'gzip' | 'zstd',
} = {}): AttacherOpener {
  const files = new LogFiles({ path: path(name), compress, keep });
  const first = files.open();
  if (typeof first !== 'number') throw new Error(String(first));
  const client = {
    rotate: async () => {
      const rotation = files.rotate(new Date());
      if (rotation instanceof Refusal) return { ok: false, why: rotation.message } as const;
      return { ok: true, value: rotation } as const;
    },
    archived: async (ok: boolean) => files.archived(ok),
  };
  return new AttacherOpener(client, first, { name: path(name), compress }, () => {});
}
const line = (n: number, pad = 60): string => `${JSON.stringify({ n, pad: 'x'.repeat(pad) })}\n`;
const numbers = (text: string): number[] => text.split('\n').flatMap((l) => (l === '' ? [] : [JSON.parse(l).n]));
const upTo = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const until = (what: () => boolean): Promise<void> =>
  vi.waitFor(() => expect(what()).toBe(true), { timeout: 90_000, interval: 5 });

/** Texts of all files of the log, oldest first, decompressed. */
function texts(): string[] {
  const order = (name: string): string => {
    const [, at, n] = /^calls\.ndjson\.(\d+T\d+)Z(?:-(\d+))?/.exec(name) ?? [];
    return at === undefined ? '~' : `${at}.${(n ?? '0').padStart(9, '0')}`;
  };
  return readdirSync(folder)
    .filter((name) => name.startsWith('calls.'))
    .toSorted((a, b) => (order(a) < order(b) ? -1 : 1))
    .map((name) => {
      const bytes = readFileSync(path(name));
      return (
        name.endsWith('.gz') ? gunzipSync(bytes) : name.endsWith('.zst') ? zstdDecompressSync(bytes) : bytes
      ).toString('latin1');
    });
}

test('batches of a backlog are given back as they are written, not when somebody collects garbage', async () => {
  const { writer } = rig(opener(), { queueBytes: 64 << 20 });
  expect(await writer.start()).toBeNull();
  const line = `${'x'.repeat(1_023)}\n`;
  const before = process.memoryUsage().arrayBuffers;
  for (let i = 0; i < 16_384; i++) writer.write(line);
  expect(process.memoryUsage().arrayBuffers - before).toBeGreaterThan(15 << 20);
  await writer.flushed();
  // Eight are kept for reuse, one is open, one may just have been written.
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 << 20);
  await writer.close(5_000);
  expect(statSync(path()).size).toBe(16 << 20);
});

describe('a file', () => {
  test('gets every line once, in order, also lines larger than a batch', async () => {
    const { writer, losses } = rig(opener(), { queueBytes: 8 << 20 });
    expect(await writer.start()).toBeNull();
    for (let n = 0; n < 5_000; n++) expect(writer.write(line(n, n === 100 ? 300_000 : 60))).toBe(true);
    await writer.close(5_000);
    expect(numbers(readFileSync(path(), 'latin1'))).toEqual(upTo(5_000));
    expect(losses.totals()).toEqual([]);
    expect(writer.queuedBytes).toBe(0);
    expect(statSync(path()).mode & 0o777 & 0o007).toBe(0);
  });

  test('a few lines are written soon, without being asked', async () => {
    const { writer } = rig(opener());
    await writer.start();
    writer.write(line(0));
    await until(() => readFileSync(path(), 'latin1') === line(0));
    await writer.close(1_000);
  });

  test('is appended to, and a line torn by a killed run is closed first', async () => {
    writeFileSync(path(), `${line(0)}{"n":1,"pa`);
    const { writer } = rig(opener());
    await writer.start();
    writer.write(line(2));
    await writer.close(1_000);
    expect(readFileSync(path(), 'latin1')).toBe(`${line(0)}{"n":1,"pa\n${line(2)}`);
  });

  test('that was moved is opened anew on demand, and nothing is lost', async () => {
    const log = opener();
    const { writer, losses } = rig(log);
    await writer.start();
    for (let n = 0; n < 10; n++) writer.write(line(n));
    await writer.flushed();
    renameSync(path(), path('moved'));
    log.reopened(new LogFiles({ path: path(), compress: 'none', keep: 1 }).open() as number);
    writer.reopen();
    await until(() => readdirSync(folder).includes('calls.ndjson'));
    for (let n = 10; n < 20; n++) writer.write(line(n));
    await writer.close(1_000);
    expect(numbers(readFileSync(path('moved'), 'latin1') + readFileSync(path(), 'latin1'))).toEqual(upTo(20));
    expect(numbers(readFileSync(path(), 'latin1'))).not.toHaveLength(0);
    expect(losses.totals()).toEqual([]);
  });
});

describe('rotation', () => {
  test.each(['none', 'gzip', 'zstd'] as const)(
    'by size, compression %s: files stay within the size, no line is torn, lost or doubled',
    async (compression) => {
      const { writer, losses } = rig(opener({ compress: compression }), { rotateBytes: 200_000 });
      await writer.start();
      for (let n = 0; n < 6_000; n++) {
        writer.write(line(n, 100));
        if (n % 500 === 0) await writer.flushed();
      }
      await writer.close(5_000);
      const files = texts();
      expect(files.length).toBeGreaterThan(2);
      for (const text of files) {
        expect(text.length).toBeLessThanOrEqual(200_000);
        expect(text.endsWith('\n')).toBe(true);
      }
      expect(files.flatMap(numbers)).toEqual(upTo(6_000));
      expect(losses.totals()).toEqual([]);
      const suffix = { none: /Z(-\d+)?$/, gzip: /Z(-\d+)?\.gz$/, zstd: /Z(-\d+)?\.zst$/ }[compression];
      for (const name of readdirSync(folder)) if (name !== 'calls.ndjson') expect(name).toMatch(suffix);
    },
  );

  test('by age: a file that is old enough is set aside before the next write', async () => {
    const { writer } = rig(opener(), { rotateAgeMs: 0 });
    await writer.start();
    for (let n = 0; n < 3; n++) {
      writer.write(line(n));
      await writer.flushed();
    }
    await writer.close(1_000);
    expect(texts().map(numbers)).toEqual([[0], [1], [2]]);
  });

  test('that fails leaves the file in use and says so once', async () => {
    const inner = opener();
    const failing: LogOpener = {
      name: 'calls',
      open: () => inner.open(),
      rotate: () => Promise.reject(Object.assign(new Error(), { code: 'EACCES' })),
      release: (fd) => inner.release(fd),
      settled: () => inner.settled(),
    };
    const { writer, events } = rig(failing, { rotateBytes: 100 });
    await writer.start();
    for (let n = 0; n < 5; n++) {
      writer.write(line(n));
      await writer.flushed();
    }
    await writer.close(1_000);
    expect(numbers(readFileSync(path(), 'latin1'))).toEqual(upTo(5));
    expect(events).toEqual([{ type: 'rotate_failed', name: 'calls', code: 'EACCES' }]);
  });
});

/** First /dev/full, which refuses every write as a full disk does; after `mend` the file. */
function fullThenFile(): LogOpener & { mend(): void } {
  const inner = opener();
  let full = true;
  return {
    name: 'calls',
    open: async () => (full ? openSync('/dev/full', 'w') : inner.open()),
    rotate: async () => null,
    release: async (fd) => closeSync(fd),
    settled: () => inner.settled(),
    mend: () => {
      full = false;
    },
  };
}

describe('a disk that refuses', () => {
  test('is named, keeps what fits in the queue, counts the rest, and recovers without losing a queued line', async () => {
    const disk = fullThenFile();
    const { writer, losses, events } = rig(disk, { queueBytes: 50_000 });
    await writer.start();
    const accepted: number[] = [];
    writer.write(line(0));
    accepted.push(0);
    await until(() => writer.failing === 'ENOSPC');
    let bytes = 0;
    for (let n = 1; n < 1_000; n++) {
      if (writer.write(line(n))) accepted.push(n);
      else bytes += line(n).length;
    }
    const lost = 1_000 - accepted.length;
    expect(lost).toBeGreaterThan(0);
    expect(losses.totals()).toEqual([{ reason: 'log_write_failed', count: lost, bytes }]);
    disk.mend();
    writer.reopen();
    await until(() => writer.queuedBytes === 0);
    expect(writer.write(line(1_000))).toBe(true);
    await writer.close(1_000);
    expect(numbers(readFileSync(path(), 'latin1'))).toEqual([...accepted, 1_000]);
    expect(events).toEqual([
      { type: 'write_failed', name: 'calls', code: 'ENOSPC' },
      { type: 'recovered', name: 'calls', lines: lost },
    ]);
    expect(writer.lostLines).toBe(lost);
  });

  test('does not keep the agent from ending: what is left is counted', async () => {
    const { writer, losses } = rig(fullThenFile());
    await writer.start();
    for (let n = 0; n < 100; n++) writer.write(line(n));
    await writer.close(200);
    const bytes = upTo(100).reduce((sum, n) => sum + line(n).length, 0);
    expect(losses.totals()).toEqual([{ reason: 'log_write_failed', count: 100, bytes }]);
  });

  test('does not make a file source wait for ever', async () => {
    const { writer } = rig(fullThenFile(), { queueBytes: 10_000 });
    await writer.start();
    while (writer.write(line(0)));
    await writer.room();
    expect(writer.failing).toBe('ENOSPC');
    await writer.flushed();
    await writer.close(0);
  });
});

describe('a pipe', () => {
  const pipe = (): string => {
    execFileSync('mkfifo', [path('pipe')]);
    return path('pipe');
  };

  test('that is read too slowly costs lines, counted, and never a torn one', async () => {
    const fd = openSync(pipe(), constants.O_RDWR | constants.O_NONBLOCK);
    const { writer, losses, events } = rig(new InheritedOpener(fd, 'stdout'), { queueBytes: 200_000 });
    await writer.start();
    const accepted: number[] = [];
    for (let n = 0; n < 10_000; n++) if (writer.write(line(n))) accepted.push(n);
    expect(accepted.length).toBeLessThan(10_000);
    expect(losses.totals()).toMatchObject([{ reason: 'log_queue_full', count: 10_000 - accepted.length }]);
    let text = '';
    const chunk = Buffer.alloc(1 << 16);
    const closed = writer.close(20_000);
    await until(() => {
      try {
        for (;;) text += chunk.latin1Slice(0, readSync(fd, chunk));
      } catch {
        // Empty for the moment.
      }
      return numbers(text.slice(0, text.lastIndexOf('\n') + 1)).length === accepted.length;
    });
    await closed;
    closeSync(fd);
    expect(numbers(text)).toEqual(accepted);
    expect(events).toEqual([]);
  });

  test('that is read by nobody is waited for at most so long at the end; everything is counted', async () => {
    const fd = openSync(pipe(), constants.O_RDWR | constants.O_NONBLOCK);
    const { writer, losses } = rig(new InheritedOpener(fd, 'stdout'));
    await writer.start();
    const log = new LogExporter(ndjson(), writer, null, id);
    for (let n = 0; n < 10_000; n++) writer.write(line(n));
    expect(await writer.flushed(10)).toBe(false);
    const totals = { segments: 0, bytes: 0, connections: 0, exchanges: 0, losses: [] };
    expect(await log.end(() => totals, 10)).toBe(true);
    const chunk = Buffer.alloc(1 << 20);
    const written = chunk.latin1Slice(0, readSync(fd, chunk)).split('\n').length - 1;
    closeSync(fd);
    expect(losses.totals()).toMatchObject([{ reason: 'log_write_failed', count: 10_001 - written }]);
  });

  test('on which a write never returns is given up as stuck', async () => {
    const name = pipe();
    const reader = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
    const fd = openSync(name, constants.O_WRONLY);
    const { writer } = rig(new InheritedOpener(fd, 'stdout'));
    await writer.start();
    for (let n = 0; n < 10_000; n++) writer.write(line(n));
    expect(await writer.close(0)).toBe(false);
    // The write comes back, and the thread pool has its thread again.
    closeSync(reader);
    closeSync(fd);
  });

  test('whose reader went away ends the log, once and for all', async () => {
    const name = pipe();
    const reader = openSync(name, constants.O_RDONLY | constants.O_NONBLOCK);
    const fd = openSync(name, constants.O_WRONLY);
    closeSync(reader);
    const { writer, losses, events } = rig(new InheritedOpener(fd, 'stdout'));
    await writer.start();
    writer.write(line(0));
    await until(() => events.length > 0);
    await writer.room();
    expect(writer.write(line(1))).toBe(false);
    await writer.flushed();
    await writer.close(1_000);
    closeSync(fd);
    expect(events).toEqual([{ type: 'reader_gone', name: 'stdout' }]);
    expect(losses.totals()).toMatchObject([{ reason: 'log_write_failed', count: 2 }]);
  });
});
