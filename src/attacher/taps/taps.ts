/** The TLS taps in the resident attacher: hears of programs and libraries as they start, and puts probes on them. */
import { closeSync } from 'node:fs';
import { type Mapping, mapShared, PAGE } from '../../kernel/libbpf.ts';
import { RecordRing } from '../../kernel/record-ring.ts';
import { BIRTHS_RING_BYTES, type LoadedTaps } from '../../kernel/secrets.ts';
import { BIRTH_PID, BIRTH_SIZE, TAP_COUNTERS_BIRTHS_LOST } from '../../kernel/secrets-abi.ts';
import { attachUprobe } from '../../kernel/uprobes.ts';
import type { TapsStatus } from '../../model/status.ts';
import type { TlsProcess } from '../../model/why.ts';
import type { HostFiles } from '../host.ts';
import { withCapability } from '../privileges.ts';
import { scopePids } from '../scope-pids.ts';
import { TapKeeper } from './keeper.ts';

/** Finds what was moved into an observed cgroup after it had started, and lets go of what has ended. */
const SWEEP_MS = 10_000;
/** Processes looked at before the event loop gets its turn. */
const SLICE = 8;
/** Milliseconds after which a process is looked at again whose dynamic linker could not tell of its libraries. */
const AGAIN_MS = [2, 5, 10, 20, 50, 100, 250, 500, 1_000, 2_000];
/** Processes that are looked at again at a time: a linker is new only once. */
const AGAIN_MAX = 256;

export class Taps {
  readonly #host: HostFiles;
  readonly #folders: readonly string[];
  readonly #keeper: TapKeeper;
  readonly #births: RecordRing;
  readonly #counters: Mapping;
  readonly #taps: LoadedTaps;
  readonly #born = new Set<number>();
  readonly #again = new Map<number, NodeJS.Timeout>();
  /** Tidings that found no room in their ring, as of the last sweep. */
  #lost = 0n;
  #sweeping = false;
  #timer: NodeJS.Timeout;

  private constructor(
    host: HostFiles,
    taps: LoadedTaps,
    folders: readonly string[],
    births: RecordRing,
    counters: Mapping,
  ) {
    this.#host = host;
    this.#folders = folders;
    this.#taps = taps;
    this.#births = births;
    this.#counters = counters;
    this.#keeper = new TapKeeper(host, ({ program, offset }, fileFd) =>
      // A perf event asks for CAP_SYS_ADMIN, the uprobe_multi link for CAP_PERFMON, which that one implies.
      withCapability('SYS_ADMIN', () =>
        withCapability('PERFMON', () =>
          attachUprobe(taps.programs[program], taps.multi, `/proc/self/fd/${fileFd}`, offset),
        ),
      ),
    );
    this.#sweep();
    this.#timer = setInterval(() => this.#sweep(), SWEEP_MS);
    births.follow((memory, at, length) => {
      if (length < BIRTH_SIZE) return;
      // The dynamic linker tells twice: one look is enough.
      if (this.#born.size === 0) setImmediate(() => this.#meet());
      this.#born.add(memory.view.getUint32(at + BIRTH_PID, true));
    });
  }

  /** null, and a line for the user, when the ring of new processes cannot be read. */
  static start(
    host: HostFiles,
    taps: LoadedTaps,
    folders: readonly string[],
    say: (line: string) => void,
  ): Taps | null {
    const births = RecordRing.open(taps.births, BIRTHS_RING_BYTES);
    const counters = mapShared(taps.counters, 0, PAGE, false);
    if (typeof births !== 'number' && typeof counters !== 'number')
      return new Taps(host, taps, folders, births, counters);
    if (typeof births !== 'number') births.close();
    if (typeof counters !== 'number') counters.release();
    say('TLS is not tapped: the ring of new processes cannot be mapped');
    return null;
  }

  /** Looks again, and says what was found. */
  describe(pid: number): readonly TlsProcess[] {
    this.#keeper.look(pid);
    return this.#keeper.describe(pid);
  }

  status(): TapsStatus {
    return this.#keeper.status();
  }

  /** Detaches every probe. */
  close(): void {
    clearInterval(this.#timer);
    for (const timer of this.#again.values()) clearTimeout(timer);
    this.#again.clear();
    this.#births.close();
    this.#counters.release();
    closeSync(this.#taps.exec);
    this.#keeper.close();
  }

  #meet(): void {
    const pids = [...this.#born];
    this.#born.clear();
    // The kernel's program has checked the cgroup.
    for (const pid of pids) if (this.#keeper.look(pid)) this.#lookAgain(pid, 0);
  }

  #lookAgain(pid: number, times: number): void {
    const ms = AGAIN_MS[times];
    if (ms === undefined || this.#again.size >= AGAIN_MAX) {
      this.#again.delete(pid);
      return;
    }
    clearTimeout(this.#again.get(pid));
    this.#again.set(
      pid,
      setTimeout(() => {
        this.#keeper.look(pid);
        this.#lookAgain(pid, times + 1);
      }, ms),
    );
  }

  #sweep(): void {
    if (this.#sweeping) return;
    this.#sweeping = true;
    const lost = new DataView(this.#counters.buffer).getBigUint64(TAP_COUNTERS_BIRTHS_LOST, true);
    const steps = this.#keeper.sweep(scopePids(this.#host, this.#folders), lost !== this.#lost);
    this.#lost = lost;
    const go = (): void => {
      for (let i = 0; i < SLICE; i++) {
        if (steps.next().done !== true) continue;
        this.#sweeping = false;
        return;
      }
      setImmediate(go);
    };
    go();
  }
}
