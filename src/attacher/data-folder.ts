/**
 * The data folder, opened for the pipeline: made and owned here, where that is allowed, and handed over as a descriptor, so that
 * the pipeline needs no way to it through folders that its user may not enter.
 */
import { chownSync, fchownSync, constants as flags, fstatSync, openSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { makeFolders } from '../base/make-folders.ts';
import type { Confinement } from './confinement.ts';
import { Refusal } from './refusal.ts';

const MODE = 0o750;
/** Entries given to the pipeline's user when an older run left them to another one. */
const ENTRIES_MAX = 1_000_000;

/** What a store has at its top (store/layout.ts), and what a file system of its own brings along. */
const STORE = 'store.json';
const OWN = new Set([STORE, `${STORE}.tmp`, 'lock', 'live', 'sealed', 'rollup', 'aside', 'lost+found']);
/** Named in the refusal. */
const FOREIGN_SHOWN = 3;

/** A folder of somebody's files must not become the pipeline's: /var/lib named for /var/lib/headwater. */
const foreign = (path: string, names: readonly string[]): Refusal | null => {
  const others = names.includes(STORE) ? [] : names.filter((name) => !OWN.has(name));
  if (others.length === 0) return null;
  const shown = others.slice(0, FOREIGN_SHOWN).join(', ') + (others.length > FOREIGN_SHOWN ? ', ...' : '');
  return new Refusal(
    `Cannot keep the store in ${path}: other files are in it (${shown}).`,
    'Name a folder that is empty or not there yet: --data DIR.',
  );
};

/** A descriptor of the folder, or why not. `identity`: who the pipeline is; null: this user. */
export const openDataFolder = (path: string, identity: Confinement | null): number | Refusal => {
  try {
    makeFolders(path, MODE);
    const fd = openSync(path, flags.O_RDONLY | flags.O_DIRECTORY);
    if (identity !== null && fstatSync(fd).uid !== identity.uid) {
      const refusal = foreign(path, readdirSync(path));
      if (refusal !== null) return refusal;
      fchownSync(fd, identity.uid, identity.gid);
      const entries = readdirSync(path, { recursive: true, withFileTypes: true });
      for (const entry of entries.slice(0, ENTRIES_MAX))
        if (entry.isFile() || entry.isDirectory())
          chownSync(join(entry.parentPath, entry.name), identity.uid, identity.gid);
    }
    return fd;
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    const hint: Readonly<Record<string, string>> = {
      EACCES: 'Run it as root, or name a folder of your own: --data DIR.',
      EPERM: 'Run it as root, or name a folder that belongs to the pipeline’s user: --data DIR.',
      ENOENT: 'No folder can be made there: name another one: --data DIR.',
      ENOTDIR: 'A file is in its way: name another folder: --data DIR.',
      EEXIST: 'A file is in its way: name another folder: --data DIR.',
      EROFS: 'That file system is read-only: name another folder: --data DIR.',
      ENOSPC: 'The disk is full: make room, or run without a store: --no-store.',
    };
    return new Refusal(
      `Cannot open the data folder ${path}: ${code}.`,
      hint[code] ?? 'Name another folder: --data DIR, or run without a store: --no-store.',
    );
  }
};
