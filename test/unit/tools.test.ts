import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { anchors, broken, links } from '../../tools/links.ts';

const run = promisify(execFile);
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'headwater-tools-'));
});
afterEach(() => rm(folder, { recursive: true }));

describe('links', () => {
  it('finds inline links, images, definitions and HTML, but not those in code', () => {
    const page = [
      'a [b](c.md) ![d](e.svg "title") <img src="f.png">',
      '[g]: h.md',
      '`[no](code.md)`',
      '```md',
      '[no](fence.md)',
      '```',
      '[i](<j.md>)',
    ].join('\n');
    expect(links(page)).toEqual([
      { line: 1, target: 'c.md' },
      { line: 1, target: 'e.svg' },
      { line: 1, target: 'f.png' },
      { line: 2, target: 'h.md' },
      { line: 7, target: 'j.md' },
    ]);
  });

  it('makes anchors as GitHub does', () => {
    const page = '# One, *two* & three\n\n## `why PID|PORT|URL`\n\n## Same\n\n## Same\n\n```\n# not one\n```\n';
    expect([...anchors(page)]).toEqual(['one-two--three', 'why-pidporturl', 'same', 'same-1']);
  });

  it('names the file, line and target of what is broken', async () => {
    await writeFile(
      join(folder, 'a.md'),
      '# A\n[ok](b.md#b-side) [ok](#a) [ok](https://example.com/x)\n[gone](c.md)\n[gone](b.md#c) [out](../x.md)\n',
    );
    await writeFile(join(folder, 'b.md'), '# B side\n');
    expect(broken(folder, 'a.md')).toEqual([
      'a.md:3: c.md does not exist',
      'a.md:4: b.md has no heading #c',
      'a.md:4: ../x.md leaves the repository',
    ]);
  });

  it('names files that a code span names and that are not there', async () => {
    const page = [
      'run `vitest run src/gone.ts -t name`, `./src/x.ts`, src/prose.ts, `src/folder/` or `src/*.ts`',
      '```sh',
      'cat src/fenced.ts',
      '```',
    ];
    await writeFile(join(folder, 'a.md'), page.join('\n'));
    expect(broken(folder, 'a.md')).toEqual(['a.md:1: there is no src/gone.ts']);
  });
});

describe('summary', () => {
  interface Results {
    unit?: unknown;
    system?: unknown;
    again?: unknown;
  }
  const file = (name: string, status: string, ...tests: string[]): unknown => ({
    testResults: [
      { name, status, message: '', assertionResults: tests.map((t, i) => ({ status: t, fullName: `${name} ${i}` })) },
    ],
  });
  const none = { testResults: [] };

  async function tool(what: string, results: Results): Promise<{ code: number; lines: string[] }> {
    for (const [name, result] of Object.entries({ unit: none, system: none, 'system-alone': none, ...results }))
      await writeFile(join(folder, `${name}.json`), JSON.stringify(result));
    const args = ['tools/summary.ts', what, folder];
    const ended = await run(process.execPath, args).catch((error: { code: number; stdout: string }) => error);
    return { code: 'code' in ended ? ended.code : 0, lines: ended.stdout.trimEnd().split('\n') };
  }
  const summary = async (checks: number, results: Results): Promise<{ code: number; last: string }> => {
    const { code, lines } = await tool(String(checks), results);
    return { code, last: lines.at(-1)! };
  };

  it('adds up the projects', async () => {
    const system = file('b', 'passed', 'passed', 'todo', 'pending');
    expect(await summary(0, { unit: file('a', 'passed', 'passed', 'skipped'), system })).toEqual({
      code: 0,
      last: '2 passed, 0 failed, 3 skipped',
    });
  });

  it('fails for a failed test, a failed check, a file that failed before its first test, and a missing result', async () => {
    const bad = { code: 1, last: '1 passed, 1 failed, 0 skipped' };
    const good = file('a', 'passed', 'passed');
    expect(await summary(0, { unit: file('a', 'failed', 'passed', 'failed') })).toEqual(bad);
    expect(await summary(1, { unit: good })).toEqual(bad);
    expect(await summary(0, { unit: good, system: file('b', 'failed') })).toEqual(bad);
    expect(await summary(0, { unit: good, system: {} })).toEqual(bad);
  });

  it('fails when no test ran', async () => {
    expect(await summary(0, { unit: file('a', 'passed', 'skipped') })).toEqual({
      code: 1,
      last: '0 passed, 0 failed, 1 skipped',
    });
  });

  it('names what failed at first and passed when run again, and fails for what failed twice', async () => {
    const system = file('b', 'failed', 'passed', 'failed');
    const twice = await tool('0', { system, again: file('b', 'passed', 'passed', 'passed') });
    expect(twice).toEqual({
      code: 0,
      lines: ['UNSTEADY, failed at first and passed when run again, alone: b 1', '2 passed, 0 failed, 0 skipped'],
    });
    expect((await summary(0, { system, again: system })).last).toBe('1 passed, 1 failed, 0 skipped');
    // The run again was cut off.
    expect((await summary(0, { system, again: {} })).last).toBe('1 passed, 1 failed, 0 skipped');
  });

  it('says which files to run again: a few with real programs, never a unit test', async () => {
    const failed = (name: string): unknown => file(name, 'failed', 'failed');
    const files = async (results: Results): Promise<string[]> => (await tool('--failed-files', results)).lines;
    expect(await files({ unit: failed('a'), system: failed('b') })).toEqual(['b']);
    expect(await files({ unit: failed('a') })).toEqual(['']);
    const many = {
      testResults: 'bcde'.split('').flatMap((n) => (failed(n) as { testResults: unknown[] }).testResults),
    };
    expect(await files({ system: many })).toEqual(['']);
  });
});
