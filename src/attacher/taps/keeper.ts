/**
 * Keeps a probe on each file that carries a TLS implementation and that an observed process runs, for as long as one
 * does. Told of processes by the kernel as they start programs and map libraries, and looks at all of them now and
 * then: that finds what was missed, and lets go of what nobody uses any more.
 */
import { closeSync } from 'node:fs';
import type { TlsProcess } from '../../model/why.ts';
import type { HostFiles } from '../host.ts';
import { startTime } from '../processes.ts';
import { type Inspection, inspectFile, openMapped } from './files.ts';
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

export interface TapsStatus {
  readonly processes: number;
  /** Files with a probe. */
  readonly tapped: number;
  /** Files that carry TLS and have none. */
  readonly untapped: number;
  /** Processes and files over the bounds, never looked at. */
  readonly overflowed: number;
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
    for (const file of executableFiles(maps)) {
      const met = this.#files.get(file.key);
      const entry = met ?? this.#meet(pid, file);
      untold ||= met === undefined && entry !== null && entry.inspection.linker !== null;
      if (entry === null) continue;
      entry.users.add(pid);
      used.push(file.key);
    }
    for (const key of known?.files ?? []) if (!used.includes(key)) this.#leave(pid, key);
    this.#processes.set(pid, { startedAt, files: used });
    return untold;
  }

  /** `pids`: all processes of the observed cgroups. Those that were not met are looked at, those that are gone forgotten. */
  *sweep(pids: readonly number[]): Generator<void> {
    const present = new Set(pids);
    for (const pid of [...this.#processes.keys()]) if (!present.has(pid)) this.forget(pid);
    for (const pid of pids) {
      const known = this.#processes.get(pid);
      if (known === undefined || known.startedAt !== startTime(this.#host, pid)) this.look(pid);
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

  #meet(pid: number, file: MappedFile): KnownFile | null {
    if (this.#files.size >= FILES_MAX) {
      this.#overflowed++;
      return null;
    }
    const fd = openMapped(this.#host, pid, file);
    // Not remembered: the process may just have ended.
    if (fd === null) return null;
    try {
      const inspection = inspectFile(fd, file.path);
      const links: number[] = [];
      let refused = '';
      const taps = [...(inspection.tls?.taps ?? []), ...(inspection.linker === null ? [] : [inspection.linker])];
      for (const tap of taps) {
        const link = this.#attach(tap, fd);
        if (link >= 0) links.push(link);
        else refused = `the kernel refused the probe (errno ${-link})`;
      }
      const known: KnownFile = { path: file.path, inspection, links, refused, users: new Set() };
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
