/** How often each program ran and how long it took, as `bpftop` shows. Asked by the attacher: it takes capabilities. */
import { closeDescriptor, fail, type Libbpf, libbpf, type Outcome, succeed } from './libbpf.ts';
import type { LoadedProgram } from './load.ts';
import { errnoName } from './posix.ts';

export interface ProgramRuns {
  readonly name: string;
  /** Runs and nanoseconds while statistics were on, since loading. */
  readonly runs: number;
  readonly runNs: number;
  /** Instructions the verifier walked; 0 before Linux 5.16. */
  readonly verifiedInstructions: number;
}

/** struct bpf_prog_info of linux/bpf.h: offsets are kernel ABI. */
const INFO_BYTES = 232;
const INFO_RUN_TIME_NS = 192;
const INFO_RUN_COUNT = 200;
const INFO_VERIFIED = 216;
const STATS_RUN_TIME = 0;

/** Turns the kernel's run-time statistics on until `stop`: costs every BPF program on the machine some 20 ns a run. */
export function startStatistics(): Outcome<{ stop(): void }> {
  const lib = libbpf();
  if (!lib.ok) return lib;
  const fd = lib.value.enableStats(STATS_RUN_TIME);
  if (fd < 0) return fail('permission', `Cannot turn on BPF statistics (${errnoName(fd)}): that takes CAP_SYS_ADMIN`);
  return succeed({ stop: () => closeDescriptor(fd) });
}

export function readPrograms(programs: readonly LoadedProgram[]): Outcome<ProgramRuns[]> {
  const lib = libbpf();
  if (!lib.ok) return lib;
  return succeed(programs.map((program) => readProgram(lib.value, program)));
}

function readProgram(lib: Libbpf, program: LoadedProgram): ProgramRuns {
  const info = Buffer.alloc(INFO_BYTES);
  const result = lib.infoByFd(program.fd, info, [INFO_BYTES]);
  const at = (offset: number): number => (result < 0 ? 0 : Number(info.readBigUInt64LE(offset)));
  return {
    name: program.name,
    runs: at(INFO_RUN_COUNT),
    runNs: at(INFO_RUN_TIME_NS),
    verifiedInstructions: result < 0 ? 0 : info.readUInt32LE(INFO_VERIFIED),
  };
}
