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
});

describe('summary', () => {
  const summary = async (checks: number, ...results: unknown[]): Promise<{ code: number; last: string }> => {
    const files = await Promise.all(
      results.map(async (result, i) => {
        const file = join(folder, `${i}.json`);
        await writeFile(file, JSON.stringify(result));
        return file;
      }),
    );
    const args = ['tools/summary.ts', String(checks), ...files];
    const ended = await run(process.execPath, args).catch((error: { code: number; stdout: string }) => error);
    return { code: 'code' in ended ? ended.code : 0, last: ended.stdout.trimEnd().split('\n').at(-1)! };
  };
  const file = (status: string, ...tests: string[]): unknown => ({
    testResults: [
      { name: 'x.test.ts', status, message: '', assertionResults: tests.map((t) => ({ status: t, fullName: t })) },
    ],
  });

  it('adds up the projects', async () => {
    expect(await summary(0, file('passed', 'passed', 'skipped'), file('passed', 'passed', 'todo', 'pending'))).toEqual({
      code: 0,
      last: '2 passed, 0 failed, 3 skipped',
    });
  });

  it('fails for a failed test, a failed check, a file that failed before its first test, and a missing result', async () => {
    expect(await summary(0, file('failed', 'passed', 'failed'))).toEqual({
      code: 1,
      last: '1 passed, 1 failed, 0 skipped',
    });
    expect(await summary(1, file('passed', 'passed'))).toEqual({ code: 1, last: '1 passed, 1 failed, 0 skipped' });
    expect(await summary(0, file('failed'))).toEqual({ code: 1, last: '0 passed, 1 failed, 0 skipped' });
    expect(await summary(0, {}, file('passed', 'passed'))).toEqual({ code: 1, last: '1 passed, 1 failed, 0 skipped' });
  });

  it('fails when no test ran', async () => {
    expect(await summary(0, file('passed', 'skipped'))).toEqual({ code: 1, last: '0 passed, 0 failed, 1 skipped' });
  });
});
