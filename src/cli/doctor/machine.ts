/** What the checks look at: files below a root that a test can choose, and what this process is and may do. */
import { accessSync, constants } from 'node:fs';
import { arch, release } from 'node:os';
import { delimiter, join } from 'node:path';
import { HostFiles } from '../../attacher/host.ts';

/** What libbpf and the FFI said when they were loaded; null version: they could not be. */
export interface LibraryState {
  readonly ffi: string | null;
  readonly libbpf: string | null;
  /** Why not, one line; "" when both are there. */
  readonly problem: string;
}

export interface Machine {
  readonly host: HostFiles;
  /** As uname -r prints it. */
  readonly release: string;
  /** As Node calls it: x64, arm64. */
  readonly arch: string;
  readonly nodeVersion: string;
  readonly uid: number;
  /** Effective capability set. */
  readonly capabilities: bigint;
  readonly library: LibraryState;
  /** Built kernel programs for this machine: the path, and whether it is there. */
  readonly object: { readonly path: string; readonly exists: boolean };
  /** Path of a program, or null. */
  findProgram(name: string): string | null;
}

const findProgram = (name: string): string | null => {
  for (const folder of [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/sbin', '/usr/local/sbin']) {
    try {
      const path = join(folder, name);
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // not here
    }
  }
  return null;
};

const loadLibrary = async (): Promise<{ library: LibraryState; object: Machine['object'] }> => {
  try {
    const [{ libbpf }, { objectPath }] = await Promise.all([
      import('../../kernel/libbpf.ts'),
      import('../../kernel/load.ts'),
    ]);
    const loaded = libbpf();
    const path = objectPath();
    return {
      library: {
        ffi: 'koffi',
        libbpf: loaded.ok ? loaded.value.version : null,
        problem: loaded.ok ? '' : loaded.error.detail,
      },
      object: { path, exists: new HostFiles().exists(path) },
    };
  } catch (error) {
    return {
      library: { ffi: null, libbpf: null, problem: String((error as Error).message).split('\n')[0]! },
      object: { path: '', exists: false },
    };
  }
};

const effectiveCapabilities = (host: HostFiles): bigint => {
  const text = /^CapEff:\s*([0-9a-f]+)$/m.exec(host.read('/proc/self/status') ?? '')?.[1];
  return text === undefined ? 0n : BigInt(`0x${text}`);
};

/** This machine. */
export const thisMachine = async (): Promise<Machine> => {
  const host = new HostFiles();
  return {
    host,
    release: release(),
    arch: arch(),
    nodeVersion: process.versions.node,
    uid: process.geteuid?.() ?? 0,
    capabilities: effectiveCapabilities(host),
    ...(await loadLibrary()),
    findProgram,
  };
};
