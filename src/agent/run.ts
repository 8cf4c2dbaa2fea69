/** `headwater run`: becomes the attacher, which starts the pipeline (main.ts) in a cage of its own. */
import { extname, isAbsolute, join, resolve } from 'node:path';
import { loadKernel } from '../attacher/kernel-side.ts';
import { startAttacher } from '../attacher/start.ts';
import { EXIT, fail } from '../base/failure.ts';
import { packageVersion } from '../base/version.ts';
import { defaultDataPath, defaultKeyPath } from '../config/paths.ts';
import type { Config } from '../config/schema.ts';
import type { PipelineSettings } from './settings.ts';

export interface RunOptions {
  readonly config: Config;
  readonly socketPath: string;
  /** Token that clients of `listen` must send; null: none. */
  readonly token: string | null;
  /** Flags of the runtime for the pipeline's process: the bench profiles it. */
  readonly runtimeFlags?: readonly string[];
}

const say = (line: string): void => {
  process.stderr.write(`${line}\n`);
};

/** With `tls.verify_tags`: the longest record, behind a header block that came before it. */
const VERIFIED_WINDOW_BYTES = 24 << 10;

const RING_BYTES = 8 << 20;
/** At 30,000 calls a second on two cores the parsing thread waits up to 80 ms for a core while a segment is sealed: half of the ring above. */
const RING_BYTES_WITH_STORE = 16 << 20;

/** Becomes the attacher, until SIGINT or SIGTERM; fails (exit code 3) when the machine does not allow it. */
export async function runCommand(options: RunOptions): Promise<never> {
  const { config } = options;
  const { file, compress, rotate } = config.log;
  const dataPath = config.store.enabled ? resolve(config.store.folder ?? defaultDataPath()) : null;
  const settings: PipelineSettings = { config, version: packageVersion(), token: options.token };
  const refusal = startAttacher({
    cgroups: config.cgroups,
    user: config.user,
    socketPath: options.socketPath,
    log:
      file === undefined || config.stats_only
        ? null
        : file === '-'
          ? 'stdout'
          : { path: isAbsolute(file) ? file : resolve(file), compress, keep: rotate.keep },
    dataPath,
    keyPath: defaultKeyPath(),
    pipelineEntry: join(import.meta.dirname, `main${extname(import.meta.filename)}`),
    pipelineConfig: settings,
    ...(options.runtimeFlags === undefined ? {} : { runtimeFlags: options.runtimeFlags }),
    loadKernel: loadKernel({
      secrets: config.tls.secrets,
      ringBytes: config.capture.ring ?? (dataPath === null ? RING_BYTES : RING_BYTES_WITH_STORE),
      // A tag is behind the record's last byte.
      windowBytes: config.tls.verify_tags
        ? Math.max(config.capture.window, VERIFIED_WINDOW_BYTES)
        : config.capture.window,
      streamBytes: config.capture.stream_window,
    }),
    say,
  });
  fail(EXIT.MACHINE, refusal.message, refusal.fix);
}
