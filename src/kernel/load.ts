/**
 * Loads the kernel programs and attaches them to cgroups. Runs in the attacher, which holds CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.
 * Nothing is pinned: programs, maps and links live as long as the descriptors, so they are gone when the process is.
 */
import { existsSync } from 'node:fs';
import { release, version } from 'node:os';
import { join } from 'node:path';
import * as abi from './abi.ts';
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
import { probeKernel, whatLacks, writerIsKnown } from './probe.ts';

/** How the kernel side learns which process a socket belongs to. */
export type OwnerVariant =
  /** Each writer is asked while it sends (bpf_get_current_pid_tgid in cgroup_skb, newer than Linux 6.12). */
  | 'writer'
  /** The process that made the socket, or the listening socket it was accepted from (cgroup/sock_create). */
  | 'creator';

export interface CaptureOptions {
  /** Bytes of the ring: a power of two, 64 KiB at least. */
  readonly ringBytes?: number;
  /** Bytes of a burst that are copied. */
  readonly windowBytes?: number;
  /** Bytes of a burst that are copied while its header block has not ended. */
  readonly headBytes?: number;
  /** Bytes of a burst that are copied beyond the window when they come in small segments. */
  readonly streamBytes?: number;
  /** For tests: take this variant without probing. */
  readonly variant?: OwnerVariant;
}

/** What a reader must know beside the descriptors; plain JSON, so that it can be sent to another process. */
export interface RingLayout {
  readonly ringBytes: number;
  /** Possible CPUs: the counters map has an entry for each and each direction. */
  readonly cpus: number;
}

/** Descriptors of the maps that a reader needs. They work in a process without any capability that inherits them. */
export interface RingDescriptors {
  readonly ring: number;
  readonly counters: number;
  readonly control: number;
  readonly unheard: number;
}

export interface LoadedProgram {
  readonly name: string;
  readonly fd: number;
}

export interface LoadedMap {
  readonly name: string;
  readonly fd: number;
}

/** The programs on one cgroup. */
export interface Attachment {
  readonly directory: string;
  /** Descriptors of its bpf_links: what keeps the programs attached. */
  readonly links: readonly number[];
  detach(): void;
}

export interface LoadedCapture {
  readonly variant: OwnerVariant;
  readonly layout: RingLayout;
  readonly descriptors: RingDescriptors;
  readonly programs: readonly LoadedProgram[];
  readonly maps: readonly LoadedMap[];
  /** Attaches every program to a cgroup v2 directory, beside whatever is attached there (BPF_F_ALLOW_MULTI). */
  attach(directory: string): Outcome<Attachment>;
  /** Detaches everywhere and frees everything; the descriptors are closed. */
  close(): void;
}

export const RING_BYTES_DEFAULT = 8 << 20;
const RING_BYTES_MIN = 64 << 10;
const RING_BYTES_MAX = 1 << 30;
const SMALL_SEGMENT_BYTES = 2048;
const REPORT_EVERY_BYTES = 64 << 10;
const WINDOW_BYTES_DEFAULT = 8 << 10;
const HEAD_BYTES_DEFAULT = 80 << 10;
const STREAM_BYTES_DEFAULT = 256 << 10;

/** Program name -> enum bpf_attach_type (linux/bpf.h). */
const ATTACH_TYPE = { headwater_in: 0, headwater_out: 1, headwater_make: 2, headwater_ops: 3 } as const;
type ProgramName = keyof typeof ATTACH_TYPE;
const isProgramName = (name: string): name is ProgramName => Object.hasOwn(ATTACH_TYPE, name);

/** Where `tools/bpf/build` puts the object for this machine. */
export function objectPath(): string {
  const arch = process.arch === 'arm64' ? 'arm64' : 'x86';
  return join(import.meta.dirname, '../../bpf/build', `headwater.${arch}.bpf.o`);
}

/** Loads the programs; attaches nothing yet. One attempt: a verifier that says no will say no again. */
export function loadCapture(options: CaptureOptions = {}): Outcome<LoadedCapture> {
  const ringBytes = options.ringBytes ?? RING_BYTES_DEFAULT;
  if (ringBytes < RING_BYTES_MIN || ringBytes > RING_BYTES_MAX || (ringBytes & (ringBytes - 1)) !== 0)
    return fail(
      'rejected',
      `Cannot make a ring of ${ringBytes} bytes: take a power of two from 65536 to ${RING_BYTES_MAX}`,
    );
  const lib = libbpf();
  if (!lib.ok) return lib;
  const path = objectPath();
  if (!existsSync(path))
    return fail('object_missing', `Cannot find ${path}: build the kernel programs with tools/bpf/build (needs clang)`);

  lib.value.takeLog();
  const object = lib.value.open(path, null);
  if (object === null) return fail('object_missing', `Cannot read ${path}: build it again`, lib.value.takeLog());
  const variant = options.variant ?? (writerIsKnown(lib.value) ? 'writer' : 'creator');
  const cpus = lib.value.possibleCpus();
  configure(lib.value, object, options, variant, { ringBytes, cpus });
  const result = lib.value.load(object);
  if (result < 0) {
    lib.value.closeObject(object);
    return refusal(-result, lib.value.takeLog());
  }
  return succeed(new Capture(lib.value, object, variant, { ringBytes, cpus }));
}

function refusal(errno: number, log: string): Outcome<never> {
  const what = `Cannot load the kernel programs (${errnoName(errno)})`;
  if (needsCapabilities(errno)) return fail('permission', `${what}: ${CAPABILITY_HINT}`, log);
  const features = probeKernel();
  const lacks = features.ok ? whatLacks(features.value, release()) : null;
  return lacks === null
    ? fail('rejected', `${what}: this kernel refuses them; run \`headwater doctor\` and report what it says`, log)
    : fail('rejected', `${what}: ${lacks}`);
}

/** Kernels with CONFIG_PREEMPT_RT say so in what `uname -v` shows. */
const softirqsMix = (): boolean => /PREEMPT[_ ]RT/.test(version());

function configure(
  lib: Libbpf,
  object: Pointer,
  options: CaptureOptions,
  variant: OwnerVariant,
  layout: RingLayout,
): void {
  lib.setMaxEntries(lib.findMap(object, 'ring'), layout.ringBytes);
  lib.setMaxEntries(lib.findMap(object, 'counters'), 2 * layout.cpus);

  const config = new DataView(new ArrayBuffer(abi.CONFIG_SIZE));
  const set = (offset: number, value: number): void => config.setUint32(offset, value, true);
  set(abi.CONFIG_WINDOW, options.windowBytes ?? WINDOW_BYTES_DEFAULT);
  set(abi.CONFIG_HEAD_BUDGET, options.headBytes ?? HEAD_BYTES_DEFAULT);
  set(abi.CONFIG_SMALL_SEGMENT, SMALL_SEGMENT_BYTES);
  set(abi.CONFIG_STREAM_BUDGET, options.streamBytes ?? STREAM_BYTES_DEFAULT);
  set(abi.CONFIG_REPORT_EVERY, REPORT_EVERY_BYTES);
  set(abi.CONFIG_RING_BYTES, layout.ringBytes);
  set(abi.CONFIG_OWNER_BY_WRITER, variant === 'writer' ? 1 : 0);
  set(abi.CONFIG_SOFTIRQS_MIX, softirqsMix() ? 1 : 0);
  for (let map = lib.nextMap(object, null); map !== null; map = lib.nextMap(object, map))
    if (lib.mapName(map).endsWith('.rodata')) lib.setInitialValue(map, new Uint8Array(config.buffer), abi.CONFIG_SIZE);

  if (variant === 'writer')
    for (let p = lib.nextProgram(object, null); p !== null; p = lib.nextProgram(object, p))
      if (lib.programName(p) === 'headwater_make') lib.setAutoload(p, false);
}

class Capture implements LoadedCapture {
  readonly variant: OwnerVariant;
  readonly layout: RingLayout;
  readonly descriptors: RingDescriptors;
  readonly programs: readonly LoadedProgram[];
  readonly maps: readonly LoadedMap[];
  readonly #lib: Libbpf;
  readonly #object: Pointer;
  readonly #attachments = new Set<Attachment>();
  #closed = false;

  constructor(lib: Libbpf, object: Pointer, variant: OwnerVariant, layout: RingLayout) {
    this.#lib = lib;
    this.#object = object;
    this.variant = variant;
    this.layout = layout;
    const fd = (name: string): number => lib.mapFd(lib.findMap(object, name));
    this.descriptors = { ring: fd('ring'), counters: fd('counters'), control: fd('control'), unheard: fd('unheard') };
    const programs: LoadedProgram[] = [];
    for (let p = lib.nextProgram(object, null); p !== null; p = lib.nextProgram(object, p)) {
      const programFd = lib.programFd(p);
      if (programFd >= 0) programs.push({ name: lib.programName(p), fd: programFd });
    }
    this.programs = programs;
    const maps: LoadedMap[] = [];
    for (let m = lib.nextMap(object, null); m !== null; m = lib.nextMap(object, m))
      maps.push({ name: lib.mapName(m), fd: lib.mapFd(m) });
    this.maps = maps;
  }

  attach(directory: string): Outcome<Attachment> {
    const cgroup = openDirectory(directory);
    if (cgroup < 0)
      return fail(
        'not_a_cgroup',
        `Cannot open cgroup ${directory} (${errnoName(cgroup)}): name a directory below the cgroup v2 mount`,
      );
    const links: number[] = [];
    const detach = (): void => {
      for (const link of links.splice(0)) closeDescriptor(link);
    };
    for (const { name, fd } of this.programs) {
      if (!isProgramName(name)) continue;
      const link = this.#lib.linkCreate(fd, cgroup, ATTACH_TYPE[name], null);
      if (link < 0) {
        detach();
        closeDescriptor(cgroup);
        return attachRefusal(directory, -link);
      }
      links.push(link);
    }
    closeDescriptor(cgroup);
    const attachment: Attachment = {
      directory,
      links,
      detach: () => {
        detach();
        this.#attachments.delete(attachment);
      },
    };
    this.#attachments.add(attachment);
    return succeed(attachment);
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const attachment of [...this.#attachments]) attachment.detach();
    this.#lib.closeObject(this.#object);
  }
}

const EBADF = 9;
const EINVAL = 22;

function attachRefusal(directory: string, errno: number): Outcome<never> {
  if (needsCapabilities(errno))
    return fail('permission', `Cannot attach to ${directory} (${errnoName(errno)}): ${CAPABILITY_HINT}`);
  if (errno === EBADF || errno === EINVAL)
    return fail('not_a_cgroup', `Cannot attach to ${directory} (${errnoName(errno)}): it is no cgroup v2 directory`);
  return fail(
    'attach_failed',
    `Cannot attach to ${directory} (${errnoName(errno)}): another program may be attached there without allowing others; see \`bpftool cgroup show ${directory}\``,
  );
}
