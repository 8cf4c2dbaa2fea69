import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { INSTALLATION_KEY_BYTES } from './fingerprint.ts';

export type KeyResult =
  | { readonly ok: true; readonly key: Buffer; readonly created: boolean }
  | { readonly ok: false; readonly problem: string };

const codeOf = (error: unknown): string => (error as NodeJS.ErrnoException).code ?? 'UNKNOWN';

const bad = (problem: string): KeyResult => ({ ok: false, problem });

/** Reads and checks an existing key; null when there is none. */
function read(path: string, created: boolean): KeyResult | null {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return null;
    if (code === 'ELOOP')
      return bad(
        `Cannot use installation key ${path}: it is a symbolic link. Put the file itself there, or remove the link to get a new key.`,
      );
    return bad(
      `Cannot read installation key ${path}: ${code}. Run as the user that owns it, or name another key file.`,
    );
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile())
      return bad(`Cannot use installation key ${path}: it is not a regular file. Remove it to get a new key.`);
    const uid = process.geteuid?.() ?? stat.uid;
    if (stat.uid !== uid)
      return bad(
        `Cannot use installation key ${path}: it belongs to uid ${stat.uid}, and this process runs as ${uid}. Fix: chown ${uid} ${path}`,
      );
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8);
      return bad(
        `Cannot use installation key ${path}: its mode is ${mode}, so other users may have read it. Fix: chmod 600 ${path} (or remove it to get a new key; fingerprints then change).`,
      );
    }
    if (stat.size !== INSTALLATION_KEY_BYTES) {
      return bad(
        `Cannot use installation key ${path}: it has ${stat.size} bytes instead of ${INSTALLATION_KEY_BYTES}. Restore it from a copy, or remove it to get a new key; fingerprints then change.`,
      );
    }
    const key = Buffer.alloc(INSTALLATION_KEY_BYTES);
    const n = readSync(fd, key, 0, key.length, 0);
    if (n !== key.length) return bad(`Cannot read installation key ${path}: ${n} of ${key.length} bytes.`);
    return { ok: true, key, created };
  } catch (error) {
    return bad(`Cannot read installation key ${path}: ${codeOf(error)}.`);
  } finally {
    closeSync(fd);
  }
}

function syncDirectory(path: string): void {
  const fd = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Puts a complete key at `path` unless somebody else did first. */
function create(path: string): void {
  const draft = `${path}.${process.pid}.${randomBytes(6).toString('hex')}`;
  const fd = openSync(draft, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600);
  try {
    try {
      writeSync(fd, randomBytes(INSTALLATION_KEY_BYTES));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    // link() fails when the name is taken, and shows the file only when it is whole: a second agent that starts at the
    // same instant reads this key or this one reads the other's, never half of one.
    linkSync(draft, path);
  } finally {
    unlinkSync(draft);
  }
  syncDirectory(path);
}

/**
 * The installation key at `path`: 32 random bytes, made once with mode 0600 and synced to disk. An existing file that is
 * not such a key (mode, owner, size, kind) is refused with what to do about it, never replaced: every fingerprint in
 * older logs depends on it. Synchronous; for start-up.
 */
export function loadInstallationKey(path: string): KeyResult {
  const existing = read(path, false);
  if (existing !== null) return existing;
  let created = true;
  try {
    create(path);
  } catch (error) {
    const code = codeOf(error);
    if (code !== 'EEXIST') {
      return bad(
        `Cannot create installation key ${path}: ${code}. Make ${dirname(path)} a folder that this user may write to, or name another key file.`,
      );
    }
    created = false;
  }
  return read(path, created) ?? bad(`Cannot read installation key ${path}: it vanished while it was being read.`);
}
