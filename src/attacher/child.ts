/**
 * First thing that runs in the pipeline's process. Loads the pipeline's code while it may still read it, closes the cage,
 * and only then asks for what to work with. The entry must import all it needs: nothing can be loaded afterwards where
 * the installation is unreadable to the pipeline's user.
 */
import { flushCompileCache } from 'node:module';
import { pathToFileURL } from 'node:url';
import { AttacherClient, CONTROL_FD, DESCRIPTOR_FD } from './client.ts';
import { type Confinement, confine, confinementProblems, readThreads } from './confinement.ts';
import { HostFiles } from './host.ts';
import type { StartMessage } from './protocol.ts';
import { UnusedPages } from './unused-pages.ts';

/** What the pipeline's entry module exports. */
export interface PipelineEntry {
  /** Resolves to the exit code when everything is written. */
  runPipeline(handover: Handover): Promise<number>;
  /** Whatever makes it ready, before anything is attached and before the cage is closed. Its answer is handed over. */
  prepare?(prospect: Prospect, unused: UnusedPages): Promise<unknown>;
}

/** What the run will have. */
export interface Prospect {
  readonly logged: boolean;
  readonly stored: boolean;
  /** Secrets of TLS may come. */
  readonly secrets: boolean;
}

export interface Handover {
  readonly client: AttacherClient;
  readonly start: Omit<StartMessage, 'key'>;
  /** What `prepare` answered. */
  readonly prepared: unknown;
  /** Installation key for fingerprints; nowhere else in this process. */
  readonly key: Uint8Array;
  readonly unused: UnusedPages;
}

const NOT_ALLOWED = 3;

// The attacher decides what these mean: a Ctrl-C reaches the whole process group.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);

const [entry, identity, prospect] = process.argv.slice(2);
const wanted = JSON.parse(identity!) as Confinement | null;
const pipeline = (await import(pathToFileURL(entry!).href)) as PipelineEntry;
// The next start finds everything compiled. Afterwards this process may write nothing.
flushCompileCache();
// Loading, preparing and running need different parts of the runtime: each begins without what the one before it had.
const unused = new UnusedPages(new HostFiles());
unused.giveBack();
const prepared = await pipeline.prepare?.(JSON.parse(prospect!) as Prospect, unused);
unused.giveBack();

const client = new AttacherClient(CONTROL_FD, DESCRIPTOR_FD);
// A service manager sends it to both processes.
process.on('SIGTERM', () => client.drain('SIGTERM'));
const failure = confine(wanted) ?? confinementProblems(readThreads(new HostFiles(), 'self'), wanted)[0] ?? null;
if (failure !== null) {
  await client.failed(failure);
  process.exit(NOT_ALLOWED);
}
const start = await client.confined();
if (start === null) process.exit(1);
const { key, ...rest } = start;
process.exit(await pipeline.runPipeline({ client, prepared, start: rest, key: Buffer.from(key, 'hex'), unused }));
