/** Opens the very file that a process runs, whatever became of its path: containers, deleted and replaced files. */
import { closeSync, fstatSync, openSync, readSync, type Stats, statSync } from 'node:fs';
import type { HostFiles } from '../host.ts';
import { withCapability } from '../privileges.ts';
import { ElfFile } from './elf.ts';
import { inspectTls, linkerTap, type TapPoint, type TlsFacts } from './library.ts';
import type { MappedFile } from './maps.ts';

/** A descriptor of the file, or null when this process may not open it. */
export const openMapped = (host: HostFiles, pid: number, file: MappedFile): number | null => {
  // Through the process's own root, as far as the path still leads to the same inode.
  const byPath = open(host, `/proc/${pid}/root${file.path}`);
  if (byPath !== null) {
    if (fstatSync(byPath).ino === file.inode) return byPath;
    closeSync(byPath);
  }
  // Asks for CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN (fs/proc/base.c), but needs no path.
  return withCapability('SYS_ADMIN', () => open(host, `/proc/${pid}/map_files/${file.range}`));
};

/** Change time of the mapped file, milliseconds since 1970; -1: it cannot be told. */
export const changedAt = (host: HostFiles, pid: number, file: MappedFile): number => {
  const byPath = stat(host, `/proc/${pid}/root${file.path}`);
  if (byPath?.ino === file.inode) return byPath.ctimeMs;
  return withCapability('SYS_ADMIN', () => stat(host, `/proc/${pid}/map_files/${file.range}`))?.ctimeMs ?? -1;
};

const stat = (host: HostFiles, path: string): Stats | null => {
  try {
    return statSync(host.real(path));
  } catch {
    return null;
  }
};

const open = (host: HostFiles, path: string): number | null => {
  try {
    return openSync(host.real(path), 'r');
  } catch {
    return null;
  }
};

export interface Inspection {
  readonly tls: TlsFacts | null;
  readonly linker: TapPoint | null;
}

const NOTHING: Inspection = { tls: null, linker: null };

/** What there is to tap in an open file. */
export const inspectFile = (fd: number, path: string): Inspection => {
  const read = (offset: number, length: number): Buffer => {
    const bytes = Buffer.allocUnsafe(length);
    try {
      return bytes.subarray(0, readSync(fd, bytes, 0, length, offset));
    } catch {
      return bytes.subarray(0, 0);
    }
  };
  if (!fstatSync(fd).isFile()) return NOTHING;
  const elf = ElfFile.parse(read);
  return elf === null ? NOTHING : { tls: inspectTls(elf, path), linker: linkerTap(elf) };
};
