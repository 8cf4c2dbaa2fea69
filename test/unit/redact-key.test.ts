import { execFile } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { loadInstallationKey } from '../../src/redact/key.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-key-'));
  path = join(folder, 'installation.key');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const problem = (): string => {
  const result = loadInstallationKey(path);
  return result.ok ? '' : result.problem;
};

describe('the installation key', () => {
  test('is made once: 32 bytes, mode 0600, the same afterwards, nothing left beside it', () => {
    const first = loadInstallationKey(path);
    const second = loadInstallationKey(path);
    expect(first).toMatchObject({ ok: true, created: true });
    expect(second).toMatchObject({ ok: true, created: false });
    expect(first.ok && second.ok && first.key.equals(second.key) && first.key.equals(readFileSync(path))).toBe(true);
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(path).size).toBe(32);
    expect(readdirSync(folder)).toEqual(['installation.key']);
  });

  test('keeps its mode under any umask', () => {
    const before = process.umask(0);
    try {
      expect(loadInstallationKey(path).ok).toBe(true);
    } finally {
      process.umask(before);
    }
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  test('two agents that start together have the same one', async () => {
    const program = `import { loadInstallationKey } from ${JSON.stringify(new URL('../../src/redact/key.ts', import.meta.url).href)};
      const r = loadInstallationKey(process.argv[1]); console.log(r.ok ? r.key.toString('hex') : r.problem);`;
    const agents = Array.from({ length: 8 }, () =>
      promisify(execFile)(process.execPath, ['--input-type=module', '-e', program, path]),
    );
    const keys = (await Promise.all(agents)).map(({ stdout }) => stdout.trim());
    expect(new Set(keys)).toEqual(new Set([readFileSync(path).toString('hex')]));
    expect(readdirSync(folder)).toEqual(['installation.key']);
  });

  test.each([0o644, 0o640, 0o604, 0o660])(
    'readable by others (%o) is refused with the fix, and not touched',
    (mode) => {
      writeFileSync(path, Buffer.alloc(32, 1));
      chmodSync(path, mode);
      expect(problem()).toContain(`${path}: its mode is ${mode.toString(8)}`);
      expect(problem()).toContain(`chmod 600 ${path}`);
      expect(readFileSync(path)).toEqual(Buffer.alloc(32, 1));
    },
  );

  test.each([0, 31, 33])('of %i bytes is refused', (size) => {
    writeFileSync(path, Buffer.alloc(size), { mode: 0o600 });
    expect(problem()).toContain(`it has ${size} bytes instead of 32`);
  });

  test.skipIf(process.geteuid?.() !== 0)("another user's is refused with the fix", () => {
    writeFileSync(path, Buffer.alloc(32), { mode: 0o600 });
    chownSync(path, 65_534, 65_534);
    expect(problem()).toContain(`chown 0 ${path}`);
  });

  test('a link, a folder, and a place that does not exist are refused', () => {
    symlinkSync(join(folder, 'elsewhere'), path);
    expect(problem()).toContain('it is a symbolic link');
    expect(existsSync(join(folder, 'elsewhere'))).toBe(false);
    path = folder;
    expect(problem()).toContain('it is not a regular file');
    path = join(folder, 'no', 'key');
    expect(problem()).toMatch(/^Cannot create installation key .*: ENOENT\. Make .* a folder/);
  });
});
