/**
 * Keeps a probe on each file that carries a TLS implementation and that an observed process runs, for as long as one
 * does. Told of processes by the kernel as they start programs and map libraries, and looks at all of them now and
 * then: that finds what was missed, and lets go of what nobody uses any more.
 */
import { closeSync, fstatSync } from 'node:fs';
import type { TapsStatus } from '../../model/status.ts';
import type { TlsProcess } from '../../model/why.ts';
import type { HostFiles } from '../host.ts';
import { startTime } from '../processes.ts';
import { changedAt, type Inspection, inspectFile, openMapped } from './files.ts';
import type { TapPoint } from './library.ts';
import { executableFiles, type MappedFile } from './maps.ts';

/** Attaches one probe; returns what keeps it attached, or -errno. */
export type Attach = (tap: TapPoint, fileFd: number) => number;

const FILES_MAX = 8_192;
const PROCESSES_MAX = 32_768;
const MAPS_BYTES_MAX = 8 << 20;

interface KnownFile {
  readonly path: string;
  readonly inspection: Inspection;
  /** Its change time, milliseconds since 1970: an inode number is another file's as soon as nobody runs the first. */
  readonly changedAt: number;
  /** Descriptors; closing them detaches. */
  readonly links: number[];
  /** Why a probe could not be attached; "" when none failed. */
  readonly refused: string;
  readonly users: Set<number>;
}

interface KnownProcess {
  readonly startedAt: number;
  /** Keys of the files that it runs. */
  files: readonly string[];
}

export class TapKeeper {
  readonly #host: HostFiles;
  readonly #attach: Attach;
  readonly #files = new Map<string, KnownFile>();
  readonly #processes = new Map<number, KnownProcess>();
  #overflowed = 0;

  constructor(host: HostFiles, attach: Attach) {
    this.#host = host;
    this.#attach = attach;
  }

  /**
   * Looks at what a process runs now. The caller has seen that it is in an observed cgroup. True: its dynamic linker was
   * not probed before, so it may have mapped libraries meanwhile without telling; look again.
   */
  look(pid: number): boolean {
    const maps = this.#host.read(`/proc/${pid}/maps`, MAPS_BYTES_MAX);
    const startedAt = startTime(this.#host, pid);
    if (maps === null || startedAt < 0) {
      this.forget(pid);
      return false;
    }
    const known = this.#processes.get(pid);
    if (known === undefined && this.#processes.size >= PROCESSES_MAX) {
      this.#overflowed++;
      return false;
    }
    const used: string[] = [];
    let untold = false;
    const before = known?.startedAt === startedAt ? known.files : [];
    for (const file of executableFiles(maps)) {
      const met = this.#files.get(file.key);
      const entry =
        met !== undefined && (before.includes(file.key) || this.#isStill(pid, file, met))
          ? met
          : this.#meet(pid, file, met);
      untold ||= met === undefined && entry !== null && entry.inspection.linker !== null;
      if (entry === null) continue;
      entry.users.add(pid);
      used.push(file.key);
    }
    for (const key of known?.files ?? []) if (!used.includes(key)) this.#leave(pid, key);
    this.#processes.set(pid, { startedAt, files: used });
    return untold;
  }

  /**
   * `pids`: all processes of the observed cgroups. Those that were not met are looked at, those that are gone forgotten.
   * `all`: look at every one, because some of what they told was lost.
   */
  *sweep(pids: readonly number[], all = false): Generator<void> {
    const present = new Set(pids);
    for (const pid of [...this.#processes.keys()]) if (!present.has(pid)) this.forget(pid);
    for (const pid of pids) {
      const known = this.#processes.get(pid);
      if (all || known === undefined || known.startedAt !== startTime(this.#host, pid)) this.look(pid);
      yield;
    }
  }

  forget(pid: number): void {
    const known = this.#processes.get(pid);
    if (known === undefined) return;
    this.#processes.delete(pid);
    for (const key of known.files) this.#leave(pid, key);
  }

  status(): TapsStatus {
    let tapped = 0;
    let untapped = 0;
    for (const { inspection, links } of this.#files.values()) {
      if (inspection.tls === null) continue;
      if (links.length > 0) tapped++;
      else untapped++;
    }
    return { processes: this.#processes.size, tapped, untapped, overflowed: this.#overflowed };
  }

  /** What is known of the TLS implementations that a process runs; empty: none was found. */
  describe(pid: number): TlsProcess[] {
    return (this.#processes.get(pid)?.files ?? []).flatMap((key) => {
      const file = this.#files.get(key)!;
      const { tls } = file.inspection;
      if (tls === null) return [];
      return [
        {
          path: file.path,
          kind: tls.kind,
          version: tls.version,
          tapped: file.links.length > 0,
          gap: tls.gap || file.refused,
        },
      ];
    });
  }

  /** Detaches everything. */
  close(): void {
    for (const { links } of this.#files.values()) for (const link of links) closeSync(link);
    this.#files.clear();
    this.#processes.clear();
  }

  /** A probe holds its inode. Without one its number may have gone to a file that was made since, or its content may be new. */
  #isStill(pid: number, file: MappedFile, met: KnownFile): boolean {
    if (met.links.length > 0) return true;
    return met.refused === '' && changedAt(this.#host, pid, file) === met.changedAt;
  }

  /** `met`: what is known by the same name, and is this very file at best, refused. */
  #meet(pid: number, file: MappedFile, met?: KnownFile): KnownFile | null {
    if (met === undefined && this.#files.size >= FILES_MAX) {
      this.#overflowed++;
      return null;
    }
    const fd = openMapped(this.#host, pid, file);
    // Not remembered: the process may just have ended.
    if (fd === null) return null;
    try {
      const changed = fstatSync(fd).ctimeMs;
      const inspection = met?.changedAt === changed ? met.inspection : inspectFile(fd, file.path);
      const links: number[] = [];
      let refused = '';
      const taps = [...(inspection.tls?.taps ?? []), ...(inspection.linker === null ? [] : [inspection.linker])];
      for (const tap of taps) {
        const link = this.#attach(tap, fd);
        if (link >= 0) links.push(link);
        else refused = `the kernel refused the probe (errno ${-link})`;
      }
      const users = met?.users ?? new Set<number>();
      const known: KnownFile = { path: file.path, inspection, changedAt: changed, links, refused, users };
      this.#files.set(file.key, known);
      return known;
    } finally {
      closeSync(fd);
    }
  }

  #leave(pid: number, key: string): void {
    const file = this.#files.get(key);
    if (file === undefined) return;
    file.users.delete(pid);
    if (file.users.size > 0) return;
    for (const link of file.links) closeSync(link);
    this.#files.delete(key);
  }
}
