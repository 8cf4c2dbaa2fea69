/** The bench still measures: a smoke run of its quick sections. What it measured there says nothing, so nothing is asserted on it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { run } from '../rig/program.ts';

const BENCH = join(import.meta.dirname, '../../bench/main.ts');
const SECTIONS = ['idle', 'lost', 'memory'];

interface Result {
  readonly section: string;
  readonly machine: Readonly<Record<string, unknown>>;
  readonly rows: readonly Readonly<Record<string, unknown>>[];
}

/** Every number below `value` that is none. */
const unsound = (value: unknown): unknown[] =>
  typeof value === 'number'
    ? Number.isFinite(value)
      ? []
      : [value]
    : typeof value === 'object' && value !== null
      ? Object.values(value).flatMap(unsound)
      : [];

when(
  describe,
  'root',
  'cgroup2',
  'bpf',
  'nginx',
  'wrk',
  'clang',
)('the bench', () => {
  it('prints a table and writes rows of numbers for each section', async () => {
    using folder = new Folder();
    const ended = await run([process.execPath, BENCH, ...SECTIONS, '--quick'], {
      env: { HEADWATER_BENCH_OUT: folder.path },
      timeoutMs: 150_000,
    });
    expect(ended.stderr).toBe('');
    expect(ended.code).toBe(0);
    const results = SECTIONS.map((name) => JSON.parse(readFileSync(folder.file(`${name}.json`), 'utf8')) as Result);
    expect(results.map(({ section }) => section)).toEqual(SECTIONS);
    for (const { rows, machine } of results) {
      expect(rows.length).toBeGreaterThan(0);
      for (const row of rows) expect(Object.values(row).some((value) => typeof value === 'number')).toBe(true);
      expect(unsound({ rows, machine })).toEqual([]);
    }
    const [idle, lost, memory] = results;
    const processes = ['attacher', 'pipeline', 'both'];
    expect(idle!.rows.map((row) => row['process'])).toEqual([...processes, ...processes]);
    expect(lost!.rows.map((row) => row['kept'])).toEqual(['nothing', 'log', 'store']);
    // Whatever was lost, it was counted: the only figure that holds on any machine.
    expect(lost!.rows.map((row) => row['unaccounted'])).toEqual([0, 0, 0]);
    expect(memory!.rows.every((row) => (row['rss_mb'] as number) > 0)).toBe(true);
    for (const { section } of results)
      expect(ended.stdout).toContain(section === 'lost' ? 'Lost calls' : section === 'idle' ? 'Idle' : 'Memory');
  });

  it('names the sections there are when asked for another', async () => {
    const { code, stderr } = await run([process.execPath, BENCH, 'nothing']);
    expect(code).toBe(2);
    expect(stderr).toMatch(/no section "nothing"; there are .*\blive\b/);
  });
});
