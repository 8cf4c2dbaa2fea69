/**
 * Loads the TLS taps (bpf/secrets.bpf.c), an object of its own: a machine that refuses it still captures packets. Runs in the
 * attacher before it starts anew; what it needs later are descriptors.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  CAPABILITY_HINT,
  closeDescriptor,
  fail,
  type Libbpf,
  libbpf,
  needsCapabilities,
  type Outcome,
  openDirectory,
  type Pointer,
  succeed,
} from './libbpf.ts';
import { errnoName } from './posix.ts';
import * as abi from './secrets-abi.ts';
import { attachUprobe, UPROBE_MULTI } from './uprobes.ts';

export const SECRETS_RING_BYTES = 1 << 20;
export const BIRTHS_RING_BYTES = 64 << 10;
const SCOPE_MAX = 64;

const PROBE_PROGRAMS = [
  'headwater_kdf',
  'headwater_hkdf',
  'headwater_prf',
  'headwater_go',
  'headwater_boringssl',
  'headwater_openssl111',
  'headwater_gnutls',
  'headwater_linked',
] as const;
export type ProbeProgram = (typeof PROBE_PROGRAMS)[number];
const EXEC_PROGRAM = 'headwater_exec';

/** Descriptors and plain facts: they outlive the process image that loaded them. */
export interface LoadedTaps {
  /** By uprobe_multi links; otherwise by perf events. */
  readonly multi: boolean;
  readonly programs: Readonly<Record<ProbeProgram, number>>;
  readonly secrets: number;
  readonly births: number;
  readonly counters: number;
  /** Keeps the exec tracepoint attached. */
  readonly exec: number;
}

/** @param folders the observed cgroups; none: all of them. */
export function loadTaps(folders: readonly string[]): Outcome<LoadedTaps> {
  const lib = libbpf();
  if (!lib.ok) return lib;
  const path = objectPath();
  if (!existsSync(path))
    return fail('object_missing', `Cannot find ${path}: build the kernel programs with tools/bpf/build (needs clang)`);
  if (folders.length > SCOPE_MAX)
    return fail('rejected', `Cannot tap TLS in ${folders.length} cgroups: at most ${SCOPE_MAX}`);
  lib.value.takeLog();
  let multi = true;
  let object = open(lib.value, path, folders.length, multi);
  if (object === null || lib.value.load(object) < 0 || !linksMulti(lib.value, object)) {
    // Older than 6.6: the same programs without the attach type. One more attempt, and no other.
    if (object !== null) lib.value.closeObject(object);
    lib.value.takeLog();
    multi = false;
    object = open(lib.value, path, folders.length, multi);
    if (object === null) return fail('object_missing', `Cannot read ${path}: build it again`, lib.value.takeLog());
    const result = lib.value.load(object);
    if (result < 0) {
      const log = lib.value.takeLog();
      lib.value.closeObject(object);
      return needsCapabilities(-result)
        ? fail('permission', `Cannot load the TLS taps (EPERM): ${CAPABILITY_HINT}`, log)
        : fail('rejected', `Cannot load the TLS taps (${errnoName(result)}): this kernel refuses them`, log);
    }
  }
  return start(lib.value, object, folders, multi);
}

/** Where `tools/bpf/build` puts the object for this machine. */
const objectPath = (): string =>
  join(import.meta.dirname, '../../bpf/build', `secrets.${process.arch === 'arm64' ? 'arm64' : 'x86'}.bpf.o`);

const program = (lib: Libbpf, object: Pointer, name: string): Pointer => {
  for (let p = lib.nextProgram(object, null); p !== null; p = lib.nextProgram(object, p))
    if (lib.programName(p) === name) return p;
  throw new Error(`no program ${name} in the object`);
};

const open = (lib: Libbpf, path: string, cgroups: number, multi: boolean): Pointer | null => {
  const object = lib.open(path, null);
  if (object === null) return null;
  const config = new DataView(new ArrayBuffer(abi.SECRETS_CONFIG_SIZE));
  config.setUint32(abi.SECRETS_CONFIG_CGROUPS, cgroups, true);
  for (let map = lib.nextMap(object, null); map !== null; map = lib.nextMap(object, map))
    if (lib.mapName(map).endsWith('.rodata'))
      lib.setInitialValue(map, new Uint8Array(config.buffer), config.byteLength);
  if (multi) for (const name of PROBE_PROGRAMS) lib.setExpectedAttachType(program(lib, object, name), UPROBE_MULTI);
  return object;
};

const ENOENT = -2;

/** Kernels before 6.6 load the programs all the same: only a link tells. A file that is not there is refused last. */
const linksMulti = (lib: Libbpf, object: Pointer): boolean =>
  attachUprobe(lib.programFd(program(lib, object, 'headwater_kdf')), true, '/headwater/no/such/file', 0) === ENOENT;

function start(lib: Libbpf, object: Pointer, folders: readonly string[], multi: boolean): Outcome<LoadedTaps> {
  const give = (result: Outcome<never>): Outcome<never> => {
    lib.closeObject(object);
    return result;
  };
  const scope = lib.mapFd(lib.findMap(object, 'scope'));
  for (const [i, folder] of folders.entries()) {
    const cgroup = openDirectory(folder);
    const result = cgroup < 0 ? cgroup : lib.mapUpdate(scope, uint32(i), uint32(cgroup), 0);
    if (cgroup >= 0) closeDescriptor(cgroup);
    if (result < 0)
      return give(
        fail('not_a_cgroup', `Cannot observe ${folder} for TLS (${errnoName(result)}): name a cgroup v2 directory`),
      );
  }
  const exec = lib.rawTracepoint('sched_process_exec', lib.programFd(program(lib, object, EXEC_PROGRAM)));
  if (exec < 0)
    return give(fail('attach_failed', `Cannot follow new programs (sched_process_exec: ${errnoName(exec)})`));
  const fd = (name: string): number => lib.mapFd(lib.findMap(object, name));
  return succeed({
    multi,
    programs: Object.fromEntries(
      PROBE_PROGRAMS.map((name) => [name, lib.programFd(program(lib, object, name))]),
    ) as Record<ProbeProgram, number>,
    secrets: fd('secrets'),
    births: fd('births'),
    counters: fd('taps'),
    exec,
  });
}

const uint32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes;
};
