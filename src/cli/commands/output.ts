/** Where `export` writes: a file that only its owner may read, or standard output. */
import { once } from 'node:events';
import { type FileHandle, open } from 'node:fs/promises';
import { EXIT, fail } from '../../base/failure.ts';

/** What was captured is nobody else's business. */
const MODE = 0o600;

export interface Output {
  /** Resolves when there is room for more. */
  write(bytes: Uint8Array | string): Promise<void>;
  close(): Promise<void>;
}

/** Opens `path` ('-': standard output), a file anew; ends the command when it cannot be written. `binary`: no terminal can show it. */
export async function openOutput(path: string, binary: boolean): Promise<Output> {
  if (path === '-') {
    if (binary && process.stdout.isTTY)
      fail(EXIT.USAGE, 'this is no text for a terminal', 'name a file, or pipe it on');
    return standardOutput;
  }
  let file: FileHandle;
  try {
    file = await open(path, 'w', MODE);
    // It was there before, with a mode of its own. What is no file (a pipe, /dev/null) keeps it.
    if ((await file.stat()).isFile()) await file.chmod(MODE);
  } catch (error) {
    return failWrite(path, error as NodeJS.ErrnoException);
  }
  return {
    async write(bytes) {
      try {
        await file.writeFile(bytes);
      } catch (error) {
        failWrite(path, error as NodeJS.ErrnoException);
      }
    },
    async close() {
      await file.close();
    },
  };
}

const standardOutput: Output = {
  async write(bytes) {
    if (!process.stdout.write(bytes)) await once(process.stdout, 'drain');
  },
  async close() {},
};

const PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such folder',
  ENOTDIR: 'a part of the path is no folder',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EROFS: 'the file system is read-only',
  ENOSPC: 'the disk is full',
  EDQUOT: 'the quota is used up',
};

/** A bad path is wrong usage; a full disk is the machine's. */
function failWrite(path: string, { code = '', message }: NodeJS.ErrnoException): never {
  const machine = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EIO';
  fail(machine ? EXIT.MACHINE : EXIT.USAGE, `cannot write ${path}: ${PROBLEMS[code] ?? message}`);
}
