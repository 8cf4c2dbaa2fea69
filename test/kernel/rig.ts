/**
 * What the kernel tests share: cgroups of their own, programs started inside them, and a capture that keeps copies of
 * what the ring delivers. Everything made is registered and undone by `cleanUp`, also after a failed test.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import { takeAnchor } from '../../src/kernel/clock.ts';
import { Counters, type KernelCounters } from '../../src/kernel/counters.ts';
import type { Outcome } from '../../src/kernel/libbpf.ts';
import { type CaptureOptions, type LoadedCapture, loadCapture, objectPath } from '../../src/kernel/load.ts';
import { Ring } from '../../src/kernel/ring.ts';
import { Spares } from '../../src/kernel/spares.ts';
import { type Direction, EGRESS, INGRESS, type Segment, type SocketEvent } from '../../src/model/segment.ts';

export { freePort } from '../rig/ports.ts';

/** Why the kernel tests cannot run here; "" when they can. */
export const whyNot = ((): string => {
  if (process.getuid?.() !== 0) return 'needs root';
  if (!existsSync(objectPath())) return 'the kernel programs are not built: tools/bpf/build';
  if (unifiedMount() === '') return 'no cgroup v2 mount';
  return '';
})();
if (whyNot !== '') process.stderr.write(`kernel tests skipped: ${whyNot}\n`);

/** Mount point of the cgroup v2 hierarchy, "" when there is none. */
export function unifiedMount(): string {
  for (const line of readFileSync('/proc/mounts', 'latin1').split('\n')) {
    const [, path, type] = line.split(' ');
    if (type === 'cgroup2' && path !== undefined) return path;
  }
  return '';
}

const undo: Array<() => void | Promise<void>> = [];

/** Undoes everything in reverse order; call it in afterEach. */
export async function cleanUp(): Promise<void> {
  for (let action = undo.pop(); action !== undefined; action = undo.pop()) await action();
}

export const onCleanUp = (action: () => void | Promise<void>): void => {
  undo.push(action);
};

export const unwrap = <T>(outcome: Outcome<T>): T => {
  if (!outcome.ok) throw new Error(`${outcome.error.message}\n${outcome.error.detail}`);
  return outcome.value;
};

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Waits until `ready` says so; throws after a minute and more, which a busy machine may take for what is done in one second. */
export async function until(ready: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (let i = 0; i < 6000; i++) {
    if (await ready()) return;
    await sleep(10);
  }
  throw new Error(`gave up waiting: ${what}`);
}

let made = 0;

export function makeCgroup(): string {
  const directory = join(unifiedMount(), `headwater-test-${process.pid}-${made++}`);
  mkdirSync(directory);
  onCleanUp(() => until(() => tryRemove(directory), `${directory} is empty`));
  return directory;
}

function tryRemove(directory: string): boolean {
  try {
    rmdirSync(directory);
    return true;
  } catch {
    return !existsSync(directory);
  }
}

export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'headwater-kernel-'));
  onCleanUp(() => rmSync(folder, { recursive: true, force: true }));
  // nginx's workers are another user.
  chmodSync(folder, 0o755);
  return folder;
}

/** Starts a program in a cgroup. It is ended (and waited for) by cleanUp. */
export function start(
  cgroup: string,
  command: string,
  args: readonly string[],
  stdio: 'ignore' | 'pipe' = 'ignore',
): ChildProcess {
  const child = spawn('sh', ['-c', `echo $$ > "$0/cgroup.procs" && exec "$@"`, cgroup, command, ...args], {
    stdio: [stdio, stdio, stdio === 'pipe' ? 'inherit' : 'ignore'],
  });
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  onCleanUp(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), 3000);
    await gone;
    clearTimeout(timer);
  });
  return child;
}

/** Waits until somebody accepts at the port. Must be called before attaching, or its connection is captured too. */
export async function untilListening(port: number, host = '127.0.0.1'): Promise<void> {
  await until(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = connect(port, host);
        socket.once('connect', () => {
          socket.destroy();
          resolve(true);
        });
        socket.once('error', () => resolve(false));
      }),
    `port ${port}`,
  );
  await untilQuiet(port);
}

const LISTEN = '0A';
const TIME_WAIT = '06';

/** Waits until no connection of the port has anything to say any more: what its programs have seen is all there is. */
export async function untilQuiet(port: number): Promise<void> {
  const hex = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const talking = (): boolean =>
    ['tcp', 'tcp6'].some((table) =>
      readFileSync(`/proc/self/net/${table}`, 'latin1')
        .split('\n')
        .map((line) => line.trim().split(/\s+/))
        .some(
          ([, local = '', remote = '', state = '']) =>
            (local.endsWith(hex) || remote.endsWith(hex)) && state !== LISTEN && state !== TIME_WAIT,
        ),
    );
  await until(() => !talking(), `connections of port ${port} to end`);
}

export interface SeenSegment {
  readonly ts: number;
  readonly flow: number;
  readonly local: string;
  readonly remote: string;
  readonly localPort: number;
  readonly remotePort: number;
  readonly direction: Direction;
  readonly flags: number;
  readonly seq: number;
  readonly length: number;
  readonly payload: Buffer;
  readonly leftOut: number;
  readonly lostBytes: number;
  readonly lostSegments: number;
  readonly shed: number;
  readonly again: boolean;
}

export interface SeenEvent {
  readonly kind: SocketEvent['kind'];
  readonly flow: number;
  readonly localPort: number;
  readonly remotePort: number;
  readonly accepted: boolean;
  readonly pid: number;
  readonly comm: string;
  readonly evidence: SocketEvent['evidence'];
  readonly cgroupId: number;
  readonly leftOut: readonly number[];
  readonly lostBytes: readonly number[];
  readonly lostSegments: readonly number[];
}

/** Address of 16 bytes as hexadecimal. */
const hex = (s: Segment | SocketEvent, at: number): string =>
  s.addresses.buf.toString('hex', s.addressesAt + at, s.addressesAt + at + 16);

export const MAPPED_LOOPBACK = '00000000000000000000ffff7f000001';
export const LOOPBACK6 = '00000000000000000000000000000001';

/** A loaded and attached capture whose records are copied. */
export class Capture {
  readonly loaded: LoadedCapture;
  readonly ring: Ring;
  readonly counters: Counters;
  readonly spares: Spares;
  readonly segments: SeenSegment[] = [];
  readonly events: SeenEvent[] = [];

  constructor(cgroup: string, options: CaptureOptions = {}) {
    this.loaded = unwrap(loadCapture(options));
    onCleanUp(() => this.loaded.close());
    this.ring = unwrap(Ring.open(this.loaded.descriptors, this.loaded.layout, takeAnchor()));
    this.counters = unwrap(Counters.open(this.loaded.descriptors, this.loaded.layout));
    this.spares = unwrap(Spares.open(this.loaded.descriptors));
    unwrap(this.loaded.attach(cgroup));
  }

  /** Says that nobody needs a direction from sequence number `seq` on, of the connection with that remote port, once it is open. */
  async spare(remotePort: number, direction: Direction, seq: number): Promise<void> {
    const event = (): SeenEvent | undefined =>
      this.events.findLast((e) => e.kind === 'opened' && e.remotePort === remotePort);
    await until(() => {
      this.drain();
      return event() !== undefined;
    }, `connection from ${remotePort}`);
    this.spares.tell(event()!.flow, direction, (seq + 2 ** 29) >>> 0);
  }

  drain(): void {
    this.ring.drain(this, Number.MAX_SAFE_INTEGER);
  }

  /** The counters once each segment is in a class: a program whose process the scheduler has stopped has seen one and not yet counted it. */
  async settled(): Promise<KernelCounters> {
    let counters = this.counters.read();
    await until(() => {
      counters = this.counters.read();
      const { segments, bytes } = imbalance(counters);
      return segments === 0 && bytes === 0;
    }, 'each segment in one class');
    return counters;
  }

  /** Drains every few milliseconds while `work` goes on, and once more when the network is quiet. */
  async during<T>(work: Promise<T>): Promise<T> {
    const timer = setInterval(() => this.drain(), 2);
    try {
      const result = await work;
      await sleep(50);
      await this.settled();
      return result;
    } finally {
      clearInterval(timer);
      this.drain();
    }
  }

  segment(s: Segment): void {
    this.segments.push({
      ts: s.ts,
      flow: s.flow,
      local: hex(s, 0),
      remote: hex(s, 16),
      localPort: s.localPort,
      remotePort: s.remotePort,
      direction: s.direction,
      flags: s.flags,
      seq: s.seq,
      length: s.length,
      payload: Buffer.from(s.memory.buf.subarray(s.offset, s.offset + s.captured)),
      leftOut: s.leftOut,
      lostBytes: s.lostBytes,
      lostSegments: s.lostSegments,
      shed: s.shed,
      again: s.again,
    });
  }

  socket(e: SocketEvent): void {
    const { kind, flow, localPort, remotePort, accepted, pid, comm, evidence, cgroupId } = e;
    this.events.push({
      kind,
      flow,
      localPort,
      remotePort,
      accepted,
      pid,
      comm,
      evidence,
      cgroupId,
      leftOut: [...e.leftOut],
      lostBytes: [...e.lostBytes],
      lostSegments: [...e.lostSegments],
    });
  }

  /** Payload-bearing segments of one connection's direction, in the order of the stream. */
  of(remotePort: number, direction: Direction): SeenSegment[] {
    return this.segments.filter((s) => s.remotePort === remotePort && s.direction === direction && s.length > 0);
  }

  /** What was captured of one direction, from its first byte up to the first byte that is missing. */
  stream(remotePort: number, direction: Direction): Buffer {
    const segments = this.of(remotePort, direction);
    const [first, ...more] = segments.toSorted((a, b) => (a.seq - b.seq) | 0);
    if (first === undefined) return Buffer.alloc(0);
    const at = (s: SeenSegment): number => (s.seq - first.seq) | 0;
    const pieces: Buffer[] = [];
    let end = 0;
    for (const s of [first, ...more]) {
      if (at(s) > end) break;
      const fresh = s.payload.subarray(end - at(s));
      pieces.push(fresh);
      end += fresh.length;
      if (s.payload.length < s.length) break;
    }
    return Buffer.concat(pieces);
  }

  requests(remotePort: number): string {
    return this.stream(remotePort, INGRESS).latin1Slice();
  }

  responses(remotePort: number): string {
    return this.stream(remotePort, EGRESS).latin1Slice();
  }
}

/** Differences of the conservation law; all zero when it holds: seen = sum of the classes. */
export function imbalance(counters: KernelCounters): { segments: number; bytes: number } {
  const sum = (pick: 'segments' | 'bytes'): number =>
    Object.values(counters.classes).reduce((n, traffic) => n + traffic[pick], 0);
  return {
    segments: counters.ledger.seen.segments - sum('segments'),
    bytes: counters.ledger.seen.bytes - sum('bytes'),
  };
}

/** Equality of long texts that fails with the place and not with both texts. */
export function expectSame(got: string, wanted: string, what = ''): void {
  let at = 0;
  while (at < wanted.length && got[at] === wanted[at]) at++;
  expect({ length: got.length, same: at, near: got.slice(at, at + 40) }, what).toEqual({
    length: wanted.length,
    same: wanted.length,
    near: '',
  });
}

/** A raw client connection outside of any captured cgroup. */
export class Client {
  readonly socket: Socket;
  /** The client's port: how the server's capture names the connection. */
  readonly port: number;
  received = Buffer.alloc(0);
  /** Bytes received, also those not kept. */
  total = 0;
  ended = false;
  keep = true;

  private constructor(socket: Socket) {
    this.socket = socket;
    this.port = socket.localPort!;
    socket.setNoDelay(true);
    socket.on('data', (chunk) => {
      this.total += chunk.length;
      if (this.keep) this.received = Buffer.concat([this.received, chunk]);
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', () => {
      this.ended = true;
    });
    onCleanUp(() => {
      socket.destroy();
    });
  }

  static async open(port: number, host = '127.0.0.1'): Promise<Client> {
    const socket = connect(port, host);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    return new Client(socket);
  }

  write(data: string | Buffer): void {
    this.socket.write(data);
  }

  async untilReceived(bytes: number): Promise<void> {
    await until(() => this.total >= bytes, `${bytes} bytes received, have ${this.total}`);
  }

  async untilEnded(): Promise<void> {
    await until(() => this.ended, 'the end of the connection');
  }
}

/** An nginx of its own in a cgroup: `server` is the body of its server block, without listen. Returns its folder. */
export async function startNginx(cgroup: string, port: number, listen: string, server: string): Promise<string> {
  const folder = makeFolder();
  writeFileSync(
    join(folder, 'nginx.conf'),
    `daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
events { worker_connections 512; }
http { access_log off; sendfile on; keepalive_requests 1000000; large_client_header_buffers 8 80k; client_max_body_size 0;
  client_body_temp_path ${folder}/a; proxy_temp_path ${folder}/b; fastcgi_temp_path ${folder}/c; uwsgi_temp_path ${folder}/d; scgi_temp_path ${folder}/e;
  server { ${listen} root ${folder}; ${server} } }
`,
  );
  start(cgroup, 'nginx', ['-p', folder, '-c', join(folder, 'nginx.conf')]);
  await untilListening(port, listen.includes('[::1]') && !listen.includes('127.0.0.1') ? '::1' : '127.0.0.1');
  return folder;
}
