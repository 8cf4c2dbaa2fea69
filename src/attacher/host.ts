/**
 * Reads the kernel's text files: /proc, /sys, /etc. Everything that looks at the machine goes through this, so that tests
 * can show it another machine below a folder. Files vanish while they are read: absence is a value, never an error.
 */
import { closeSync, openSync, readdirSync, readlinkSync, readSync, statfsSync, statSync } from 'node:fs';

/** Longest file read when the caller names no other bound. */
const READ_LENGTH_MAX = 1 << 20;
const CHUNK_BYTES = 64 << 10;

export type ReadResult = { readonly text: string } | { readonly error: string };

export class HostFiles {
  readonly #root: string;

  /** @param root folder that stands for "/"; "" is the machine itself. */
  constructor(root = '') {
    this.#root = root;
  }

  /** Where `path` really is. */
  real(path: string): string {
    return this.#root + path;
  }

  /** The text (latin1, at most `lengthMax` bytes), or null when it is not there or may not be read. */
  read(path: string, lengthMax = READ_LENGTH_MAX): string | null {
    const result = this.tryRead(path, lengthMax);
    return 'text' in result ? result.text : null;
  }

  /** Like read, but says why it failed (an errno name such as EACCES). */
  tryRead(path: string, lengthMax = READ_LENGTH_MAX): ReadResult {
    let fd = -1;
    try {
      fd = openSync(this.real(path), 'r');
      // /proc files have no size: read until they end.
      let text = '';
      const chunk = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, lengthMax));
      while (text.length < lengthMax) {
        const n = readSync(fd, chunk, 0, Math.min(chunk.length, lengthMax - text.length), null);
        if (n === 0) break;
        text += chunk.latin1Slice(0, n);
      }
      return { text };
    } catch (error) {
      return { error: (error as NodeJS.ErrnoException).code ?? String(error) };
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }

  /** The lines of a file (latin1, at most `lengthMax` bytes), one after another: of a large one nothing is kept. None when it may not be read. */
  *lines(path: string, lengthMax = READ_LENGTH_MAX): Generator<string, void> {
    let fd = -1;
    try {
      fd = openSync(this.real(path), 'r');
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      let rest = '';
      for (let total = 0; total < lengthMax; ) {
        const n = readSync(fd, chunk);
        if (n === 0) break;
        total += n;
        const text = rest + chunk.latin1Slice(0, n);
        let from = 0;
        for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', from)) {
          yield text.slice(from, end);
          from = end + 1;
        }
        rest = text.slice(from);
      }
      if (rest !== '') yield rest;
    } catch {
      // It has vanished, or may not be read.
    } finally {
      if (fd >= 0) closeSync(fd);
    }
  }

  /** Names in a folder, in the order of the file system; null when it is not there or may not be listed. */
  list(path: string): string[] | null {
    try {
      return readdirSync(this.real(path));
    } catch {
      return null;
    }
  }

  /** Names of the folders in a folder. */
  folders(path: string): string[] {
    try {
      return readdirSync(this.real(path), { withFileTypes: true }).flatMap((entry) =>
        entry.isDirectory() ? [entry.name] : [],
      );
    } catch {
      return [];
    }
  }

  /** Target of a symbolic link, or null. */
  link(path: string): string | null {
    try {
      return readlinkSync(this.real(path));
    } catch {
      return null;
    }
  }

  exists(path: string): boolean {
    return this.inode(path) >= 0;
  }

  isFolder(path: string): boolean {
    try {
      return statSync(this.real(path)).isDirectory();
    } catch {
      return false;
    }
  }

  /** Inode number, or -1. A cgroup's id is the inode number of its folder. */
  inode(path: string): number {
    try {
      return statSync(this.real(path)).ino;
    } catch {
      return -1;
    }
  }

  /** Magic number of the file system that holds `path` (statfs(2)), or -1. */
  fileSystem(path: string): number {
    try {
      return statfsSync(this.real(path)).type;
    } catch {
      return -1;
    }
  }
}
