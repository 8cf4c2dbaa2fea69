/**
 * What the rig has made on this machine and has not taken away yet: processes, cgroups, network namespaces, folders.
 * Each is released by its own `await using`; whatever a crash or a time-out leaves behind is released here, by name and
 * pid, when the test process ends.
 */
const undo = new Map<object, () => void>();
let hooked = false;

/** Notes that `resource` exists; `release` takes it away without waiting for anything asynchronous. */
export function own(resource: object, release: () => void): void {
  hook();
  undo.set(resource, release);
}

/** The resource was released in the ordinary way. */
export function disown(resource: object): void {
  undo.delete(resource);
}

function releaseAll(): void {
  // Latest first: processes before the cgroup they are in.
  for (const [resource, release] of [...undo].reverse()) {
    undo.delete(resource);
    try {
      release();
    } catch (error) {
      console.error('rig: left behind:', error);
    }
  }
}

function hook(): void {
  if (hooked) return;
  hooked = true;
  process.on('exit', releaseAll);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.once(signal, () => {
      releaseAll();
      process.kill(process.pid, signal);
    });
  }
}

/** Blocks this thread; only for releasing at exit. */
export function pauseMs(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}
