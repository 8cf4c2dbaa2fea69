/** bin/headwater: finds its own folder and a Node that is new enough. */
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { HEADWATER } from '../rig/agent.ts';
import { Folder } from '../rig/folder.ts';
import { type Ended, run } from '../rig/program.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());

describe('bin/headwater', () => {
  test('works through a link and from any folder', async () => {
    const link = folder.file('hw');
    symlinkSync(HEADWATER, link);
    const chained = folder.file('hw2');
    symlinkSync('hw', chained);
    for (const path of [link, chained]) {
      expect((await run([path, '--version'], { cwd: '/' })).code).toBe(0);
    }
  });

  /** A copy without node_modules beside it, and a PATH with `node` as given. */
  async function elsewhere(node: string | null): Promise<Ended> {
    const root = mkdtempSync(folder.file('bare-'));
    const tools = join(root, 'tools');
    mkdirSync(join(root, 'bin'));
    mkdirSync(tools);
    copyFileSync(HEADWATER, join(root, 'bin/headwater'));
    for (const tool of ['readlink', 'dirname']) symlinkSync(`/usr/bin/${tool}`, join(tools, tool));
    if (node !== null) {
      writeFileSync(join(tools, 'node'), `#!/bin/sh\n${node}\n`);
      chmodSync(join(tools, 'node'), 0o755);
    }
    return run(['/bin/sh', join(root, 'bin/headwater'), 'status', 'a b'], { env: { PATH: tools } });
  }

  test('without a Node, or with one that is too old, says what to do', async () => {
    for (const [node, found] of [
      [null, 'none'],
      ['echo v20.20.2', 'v20.20.2'],
      ['exit 1', 'none'],
      ['echo nonsense', 'nonsense'],
    ] as const) {
      const { code, stderr } = await elsewhere(node);
      expect(code).toBe(3);
      expect(stderr).toContain(`headwater: needs Node 24 or newer, found: ${found}\n`);
      expect(stderr).toContain("run 'npm install'");
    }
  });

  test('hands every argument to a Node that is new enough', async () => {
    const { code, stdout } = await elsewhere(
      'if [ "$1" = --version ]; then echo v24.0.0; else for a in "$@"; do echo "<$a>"; done; fi',
    );
    expect(code).toBe(0);
    expect(stdout.split('\n').slice(-3)).toEqual(['<status>', '<a b>', '']);
  });
});
