/** The pipeline's process: reads the ring, parses what is in it, writes the log, answers local commands. Holds no capability. */
import { createHmac, randomBytes } from 'node:crypto';
import type { Server } from 'node:http';
import type { Worker } from 'node:worker_threads';
import { CgroupPaths } from '../attacher/cgroups.ts';
import type { Handover, Prospect } from '../attacher/child.ts';
import { HostFiles } from '../attacher/host.ts';
import { ProcessCache, unifiedPath } from '../attacher/processes.ts';
import { readableByAll } from '../attacher/readable.ts';
import type { UnusedPages } from '../attacher/unused-pages.ts';
import { steadyMs, TimeFormatter } from '../base/clock.ts';
import { EXIT } from '../base/failure.ts';
import { exchangeIds } from '../exchange/id.ts';
import { type KernelAnchor, takeAnchor } from '../kernel/clock.ts';
import { endNow } from '../kernel/posix.ts';
import { LossLedger } from '../model/loss.ts';
import { Fingerprinter } from '../redact/fingerprint.ts';
import { startStoreWorker } from '../store/store.ts';
import { StoreRehearsal } from '../store/store-rehearsal.ts';
import { Capture } from './capture.ts';
import { EverySecond } from './every-second.ts';
import { History, loadEngine } from './history.ts';
import { type KernelMaps, openKernelMaps } from './kernel-maps.ts';
import { openListeners } from './listeners.ts';
import { Outputs } from './outputs.ts';
import { Owners } from './owners.ts';
import { rehearse } from './rehearsal.ts';
import { SelfProbe } from './self-probe.ts';
import type { KernelDescription, PipelineSettings } from './settings.ts';
import { RECENT_BYTES_STORED, Statistics } from './statistics.ts';
import { StatusKeeper } from './status.ts';
import { StoreClock } from './store-clock.ts';
import { StoreFeed } from './store-feed.ts';
import { settledIn } from './store-open.ts';
import { WallClock } from './wall-clock.ts';

const say = (line: string): void => {
  process.stderr.write(`headwater: ${line}\n`);
};

/** What the statistics' key is derived from the installation key for: nobody can compare their hashes with its fingerprints. */
const STATISTICS_LABEL = 'headwater header statistics';
const STATISTICS_KEY_BYTES = 16;

/** A log that is written slowly gets this long at the end: the attacher gives the pipeline 15 seconds, and the store comes after it. */
const SLOW_LOG_MS_MAX = 8_000;

/** Called by attacher/child.ts before the cage is closed: afterwards a thread's code may be unreadable. Answers the store's thread. */
export async function prepare({ logged, stored, secrets }: Prospect, unused: UnusedPages): Promise<Worker | null> {
  const worker = stored ? startStoreWorker() : null;
  // Most agents are never asked for the past, and do without the memory of what would answer.
  if (stored && !readableByAll(import.meta.filename)) await loadEngine();
  const store = worker === null ? null : new StoreRehearsal(worker);
  rehearse({ logged, store, secrets }, () => unused.giveBack());
  await store?.end();
  return worker;
}

/** Called by attacher/child.ts once the cage is closed. Resolves to the exit code when everything captured is written. */
export async function runPipeline(handover: Handover): Promise<number> {
  const parts = await assemble(handover);
  if (typeof parts === 'string') return refuse(parts);
  const { start, client } = handover;
  const servers = await listen(handover, parts);
  if (typeof servers === 'string') return refuse(servers);

  const { capture, status, probe } = parts;
  capture.reader.start();
  status.started();
  probe.start();
  const seconds = new EverySecond({ ...parts, unused: handover.unused });
  say(`capturing ${start.cgroups.map(({ path }) => path).join(', ')}; status, tail: ${start.socketPath}`);

  const reason = await new Promise<string>((resolve) => {
    client.listen({
      reopened: (fd) => parts.outputs.log?.reopened(fd),
      drain: resolve,
      end: () => resolve('the attacher is gone'),
    });
  });
  seconds.stop();
  const ended = await finish(parts, servers, start.dataPath);
  process.stderr.write(`${status.ledgerText(reason)}\n`);
  if (!ended) endNow(EXIT.DONE);
  client.close();
  return EXIT.DONE;
}

function refuse(problem: string): number {
  say(problem);
  return EXIT.MACHINE;
}

/** What a run consists of. */
interface Parts {
  readonly anchor: KernelAnchor;
  readonly maps: KernelMaps;
  readonly prints: Fingerprinter;
  readonly outputs: Outputs;
  readonly statistics: Statistics;
  readonly owners: Owners;
  readonly probe: SelfProbe;
  readonly capture: Capture;
  readonly wallClock: WallClock;
  readonly status: StatusKeeper;
  /** null, both: nothing is stored. */
  readonly feed: StoreFeed | null;
  readonly storeClock: StoreClock | null;
  readonly history: History;
}

/** A text: what cannot be opened, and what to do. The key is zero afterwards. */
async function assemble({ client, prepared, start, key }: Handover): Promise<Parts | string> {
  const { config, version } = start.config as PipelineSettings;
  const kernel = start.kernel as KernelDescription;
  const anchor = takeAnchor();
  const maps = openKernelMaps(start, anchor);
  if (typeof maps === 'string') return maps;
  const losses = new LossLedger();
  const prints = new Fingerprinter(key);
  const statisticsKey = createHmac('sha256', key).update(STATISTICS_LABEL).digest().subarray(0, STATISTICS_KEY_BYTES);
  key.fill(0);
  const run = randomBytes(4).toString('hex');
  const id = exchangeIds(run);
  const time = new TimeFormatter(anchor);
  const worker = prepared as Worker | null;
  const outputs = await Outputs.open({ client, start, config, anchor, run, id, time, losses, worker, say });
  if (typeof outputs === 'string') return outputs;

  const recent = outputs.store === null ? {} : { recentBytes: RECENT_BYTES_STORED };
  const statistics = new Statistics({ anchor, id, key: statisticsKey, windowNs: config.window, ...recent });
  const host = new HostFiles();
  const owners = ownersOf({ client, start }, host);
  const probe = probeOf(start, host);
  const application = `Headwater ${version}`;
  const looks = (): void => storeClock?.looked();
  const common = { maps, config, anchor, outputs, owners, statistics, probe };
  const capture = new Capture({ ...common, losses, prints, application, looks, say });
  const { pipeline, secrets } = capture;
  const { ring, counters } = maps;
  const { store, tail } = outputs;
  const wallClock = new WallClock(say);
  const windowNs = config.window;
  const seen = { pipeline, ring, counters, secrets, tail, probe, wallClock };
  const status = new StatusKeeper({ ...seen, version, kernel, client, host, start, windowNs, anchor });
  const feed = store === null ? null : new StoreFeed(store, statistics);
  const storeClock =
    feed === null
      ? null
      : new StoreClock(() => feed.tick(steadyMs(), pipeline.counters.exchanges, status.totals().losses));
  const data = store === null ? null : `/proc/self/fd/${start.dataFd}`;
  const { callsKept } = outputs;
  const history = new History(statistics, () => status.totals().losses, data, { callsKept });
  return { ...common, prints, capture, wallClock, status, feed, storeClock, history };
}

function ownersOf({ client, start }: Pick<Handover, 'client' | 'start'>, host: HostFiles): Owners {
  const owners = new Owners({
    client,
    processes: new ProcessCache(host),
    cgroups: new CgroupPaths(host, start.mount),
    rules: (start.config as PipelineSettings).config.services,
    // The first process is root's: whoever does not see its name sees nobody's.
    hidden: host.read('/proc/1/comm') === null,
  });
  void owners.learnListeners();
  return owners;
}

/** It can only be seen where this process itself is observed. */
const probeOf = ({ cgroups }: Handover['start'], host: HostFiles): SelfProbe =>
  new SelfProbe({
    inside: () => {
      const own = unifiedPath(host.read('/proc/self/cgroup') ?? '');
      return cgroups.some(({ path }) => path === '/' || own === path || own.startsWith(`${path}/`));
    },
  });

/** A text: where it cannot, and what to do. */
async function listen(
  { start }: Handover,
  { anchor, outputs, statistics, status, capture, history }: Parts,
): Promise<readonly Server[] | string> {
  const settings = start.config as PipelineSettings;
  const { store, tail, callsKept } = outputs;
  const api = {
    status,
    tail,
    packets: settings.config.stats_only ? null : capture.packets,
    why: (pids: readonly number[]) => status.why(pids),
    history,
    ...(store === null || !callsKept ? {} : { settled: settledIn(store, start.dataPath) }),
  };
  return await openListeners({ start, settings, anchor, statistics, status, api });
}

/** Everything that was captured is parsed, written and said. False: a write to the log never came back. */
async function finish(parts: Parts, servers: readonly Server[], dataPath: string): Promise<boolean> {
  const { maps, probe, capture, outputs, statistics, status, feed, storeClock, history } = parts;
  const { pipeline, reader, packets, secrets } = capture;
  probe.stop();
  reader.stop();
  reader.drainAll();
  storeClock?.stop();
  // The records that ended a call may be among those that found no room: no later record of its connection can tell.
  const { classes, recordsLost } = maps.counters.read();
  if (recordsLost > 0) maps.unheard.tell(pipeline.capture, Number.POSITIVE_INFINITY);
  if (recordsLost > 0) pipeline.openBecause = 'ring_full';
  else if (classes.shed_head.segments > 0) pipeline.openBecause = 'shed_head';
  pipeline.finish();
  status.finish();
  outputs.tail?.close();
  packets.close();
  statistics.finish();
  const ended = await outputs.log?.exporter.end(() => status.totals(), SLOW_LOG_MS_MAX);
  const unwritten = (await feed?.close(steadyMs(), pipeline.counters.exchanges, status.totals().losses)) ?? 0;
  if (unwritten > 0) say(`${unwritten} calls could not be written to ${dataPath}`);
  for (const server of servers) server.close();
  await history.close();
  secrets?.close();
  return ended ?? true;
}
