/** What the loading process leaves to the resident one across execve: descriptors that stay open, and facts. Plain JSON. */
import type { LoadedProgram } from '../kernel/load.ts';
import type { LoadedTaps } from '../kernel/secrets.ts';
import type { Confinement } from './confinement.ts';
import type { LogFileOptions } from './log-files.ts';
import type { StartMessage } from './protocol.ts';

export interface ResidentState {
  readonly pipelinePid: number;
  /** Stream socket to the pipeline, and the socket for descriptors. */
  readonly controlFd: number;
  readonly descriptorFd: number;
  /** Holds the lock of the socket path. */
  readonly lockFd: number;
  /** Closing these detaches the programs. */
  readonly links: readonly number[];
  readonly programs: readonly LoadedProgram[];
  readonly variant: string;
  /** null: TLS is not tapped. */
  readonly taps: LoadedTaps | null;
  readonly identity: Confinement | null;
  readonly log: LogFileOptions | null;
  /** Folders of the observed cgroups. */
  readonly folders: readonly string[];
  /** For the pipeline, once its cage is closed. */
  readonly start: StartMessage;
}
