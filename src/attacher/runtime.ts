/**
 * The runtime folder: the socket that commands talk to, and the lock that keeps two agents from serving the same one. The
 * lock dies with its holder, so whatever a killed agent left behind is cleaned by the next start.
 */
import {
  closeSync,
  constants as fileFlags,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { dirname } from 'node:path';
import { errnoName, listenUnix, lockFile, SOCKET_PATH_LENGTH_MAX } from '../kernel/posix.ts';
import { Refusal } from './refusal.ts';

const SOCKET_BACKLOG = 64;

/** What one agent holds in the runtime folder. */
export interface RuntimeClaim {
  readonly socketPath: string;
  /** Listening, non-blocking. */
  readonly socketFd: number;
  /** Closes our copy of the listening socket: without the pipeline, connecting must fail instead of waiting. */
  closeSocket(): void;
  /** Holds the lock as long as it is open. */
  readonly lockFd: number;
}

/** Attempts to get a lock on a file that is still there: its holder removes it when it ends. */
const LOCK_ATTEMPTS_MAX = 10;

const takeLock = (path: string, socketPath: string): number | Refusal => {
  for (let attempt = 0; attempt < LOCK_ATTEMPTS_MAX; attempt++) {
    let fd: number;
    try {
      fd = openSync(path, fileFlags.O_RDWR | fileFlags.O_CREAT | fileFlags.O_NOFOLLOW, 0o600);
    } catch (error) {
      return new Refusal(
        `Cannot lock ${path}: ${(error as NodeJS.ErrnoException).code}.`,
        'Give a socket path in a folder that you may write: --socket PATH.',
      );
    }
    const result = lockFile(fd);
    if (result === -constants.errno.EWOULDBLOCK) {
      closeSync(fd);
      const holder = readFileSync(path, 'latin1').trim();
      return new Refusal(
        `Cannot start: another agent${/^\d+$/.test(holder) ? ` (pid ${holder})` : ''} serves ${socketPath}.`,
        'Stop it, or give this one a socket of its own: --socket PATH.',
      );
    }
    if (result < 0) {
      closeSync(fd);
      return new Refusal(
        `Cannot lock ${path}: ${errnoName(result)}.`,
        'Give a socket path on a local file system: --socket PATH.',
      );
    }
    // The one who had it may have removed the file between our open and our lock: then we hold nothing.
    try {
      if (statSync(path).ino === fstatSync(fd).ino) return fd;
    } catch {
      // removed: try again
    }
    closeSync(fd);
  }
  return new Refusal(
    `Cannot lock ${path}: agents start and end there all the time.`,
    'Give this one a socket of its own: --socket PATH.',
  );
};

const removeStaleSocket = (path: string): Refusal | null => {
  try {
    if (!lstatSync(path).isSocket()) {
      return new Refusal(
        `Cannot listen on ${path}: there is a file that is not a socket.`,
        'Move it away, or give another path: --socket PATH.',
      );
    }
    unlinkSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT')
      return new Refusal(
        `Cannot remove the old socket ${path}: ${code}.`,
        'Remove it, or give another path: --socket PATH.',
      );
  }
  return null;
};

/** Makes sure of the folder: created when only it is missing, and never somebody else's (another user's below /tmp). */
const ensureFolder = (folder: string): Refusal | null => {
  const self = process.geteuid?.() ?? 0;
  try {
    try {
      mkdirSync(folder, { mode: self === 0 ? 0o755 : 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
    const { uid } = statSync(folder);
    if (uid === 0 || uid === self) return null;
    return new Refusal(
      `Cannot use the runtime folder ${folder}: it belongs to another user (uid ${uid}).`,
      'Give a socket path in a folder of your own: --socket PATH.',
    );
  } catch (error) {
    return new Refusal(
      `Cannot use the runtime folder ${folder}: ${(error as NodeJS.ErrnoException).code}.`,
      'Create it, or give a socket path elsewhere: --socket PATH.',
    );
  }
};

/** Takes `socketPath` for this agent: folder and lock, stale socket removed, listening socket of `mode` made. */
export const claimRuntime = (socketPath: string, mode: number): RuntimeClaim | Refusal => {
  if (Buffer.byteLength(socketPath) >= SOCKET_PATH_LENGTH_MAX) {
    return new Refusal(
      `Cannot listen on ${socketPath}: a socket path has at most ${SOCKET_PATH_LENGTH_MAX - 1} bytes.`,
      'Give a shorter one: --socket PATH.',
    );
  }
  const unusable = ensureFolder(dirname(socketPath));
  if (unusable !== null) return unusable;
  const lockPath = `${socketPath}.lock`;
  const lockFd = takeLock(lockPath, socketPath);
  if (lockFd instanceof Refusal) return lockFd;
  const abandon = (refusal: Refusal): Refusal => {
    unlinkSync(lockPath);
    closeSync(lockFd);
    return refusal;
  };
  ftruncateSync(lockFd);
  writeSync(lockFd, `${process.pid}\n`, 0);
  const stale = removeStaleSocket(socketPath);
  if (stale !== null) return abandon(stale);
  const socketFd = listenUnix(socketPath, mode, SOCKET_BACKLOG);
  if (socketFd < 0) {
    return abandon(
      new Refusal(
        `Cannot listen on ${socketPath}: ${errnoName(socketFd)}.`,
        'Give a path in a folder that you may write: --socket PATH.',
      ),
    );
  }
  let open = true;
  const closeSocket = (): void => {
    if (open) closeSync(socketFd);
    open = false;
  };
  return {
    socketPath,
    socketFd,
    closeSocket,
    lockFd,
  };
};

/** Removes socket and lock at the end of a run, and lets go of the lock. */
export const removeRuntime = (socketPath: string, lockFd: number): void => {
  for (const path of [socketPath, `${socketPath}.lock`]) {
    try {
      unlinkSync(path);
    } catch {
      // Somebody else tidied up: nothing is left to remove.
    }
  }
  closeSync(lockFd);
};
