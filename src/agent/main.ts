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
import { parseListen } from '../config/units.ts';
import { exchangeIds } from '../exchange/id.ts';
import type { RunTotals } from '../export/exporter.ts';
import { NdjsonFormat } from '../export/log/ndjson.ts';
import { sinceAnchor, takeAnchor } from '../kernel/clock.ts';
import { Counters } from '../kernel/counters.ts';
import { RingReader } from '../kernel/reader.ts';
import { Ring } from '../kernel/ring.ts';
import { SecretReader } from '../kernel/secret-reader.ts';
import { Spares } from '../kernel/spares.ts';
import { Unheard } from '../kernel/unheard.ts';
import { LossLedger } from '../model/loss.ts';
import { ExchangeSubject } from '../query/exchange-subject.ts';
import { Fingerprinter } from '../redact/fingerprint.ts';
import { CredentialPolicy } from '../redact/policy.ts';
import { apiServer } from '../serve/api.ts';
import { type ListenResult, listenFd, listenTcp } from '../serve/listen.ts';
import { PacketHub } from '../serve/packets.ts';
import { publicServer } from '../serve/public.ts';
import { TailHub } from '../serve/tail.ts';
import { startStoreWorker } from '../store/store.ts';
import { StoreRehearsal } from '../store/store-rehearsal.ts';
import { LIVE_SECRET_LIMITS, SecretStore } from '../tls/secrets.ts';
import { filterOf } from './filter.ts';
import { History, loadEngine } from './history.ts';
import { LargeHeap } from './large-heap.ts';
import { LogOutput } from './log-output.ts';
import { AgentMetrics } from './metrics.ts';
import { Owners } from './owners.ts';
import { PacketTap } from './packet-tap.ts';
import { Pipeline, type RedactedSink } from './pipeline.ts';
import { rehearse } from './rehearsal.ts';
import { SecretFeed } from './secret-feed.ts';
import { SelfProbe } from './self-probe.ts';
import type { KernelDescription, PipelineSettings } from './settings.ts';
import { Statistics } from './statistics.ts';
import { StatusKeeper } from './status.ts';
import { StoreClock } from './store-clock.ts';
import { StoreFeed } from './store-feed.ts';
import { openStore, settledIn } from './store-open.ts';
import { WallClock } from './wall-clock.ts';

const TICK_MS = 1_000;
/** Plain credentials leave the fingerprint cache after at most two of these. */
const FORGET_MS = 60_000;
/** From the first look at the ring to the moment when what starting needed is over. */
const SETTLED_MS = 1_000;

const say = (line: string): void => {
  process.stderr.write(`headwater: ${line}\n`);
};

/** What the statistics' key is derived from the installation key for: nobody can compare their hashes with its fingerprints. */
const STATISTICS_LABEL = 'headwater header statistics';
const STATISTICS_KEY_BYTES = 16;
/** What a window of statistics had is worked out in pieces of this length, with pauses in which the ring is read. */
const WORK_MS = 2;
const WORK_PAUSE_MS = 6;

/** Called by attacher/child.ts before the cage is closed: afterwards a thread's code may be unreadable. Answers the store's thread. */
export async function prepare({ logged, stored }: Prospect, unused: UnusedPages): Promise<Worker | null> {
  const worker = stored ? startStoreWorker() : null;
  // Most agents are never asked for the past, and do without the memory of what would answer.
  if (stored && !readableByAll(import.meta.filename)) await loadEngine();
  const store = worker === null ? null : new StoreRehearsal(worker);
  rehearse({ logged, store }, () => unused.giveBack());
  await store?.end();
  return worker;
}

/** Called by attacher/child.ts once the cage is closed. Resolves to the exit code when everything captured is written. */
export async function runPipeline({ client, prepared, start, key, unused }: Handover): Promise<number> {
  const { config, version, token } = start.config as PipelineSettings;
  const kernel = start.kernel as KernelDescription;
  const { layout } = kernel;
  const fd = (name: string): number => start.maps.find((map) => map.name === name)!.fd;
  const anchor = takeAnchor();
  const descriptors = { ring: fd('ring'), counters: fd('counters'), control: fd('control'), unheard: fd('unheard') };
  const ring = Ring.open(descriptors, layout, anchor);
  if (!ring.ok) return refuse(ring.error.message);
  const counters = Counters.open(descriptors, layout);
  if (!counters.ok) return refuse(counters.error.message);
  const spares = Spares.open(descriptors);
  if (!spares.ok) return refuse(spares.error.message);
  const unheard = Unheard.open(descriptors, anchor);
  if (!unheard.ok) return refuse(unheard.error.message);

  const losses = new LossLedger();
  const prints = new Fingerprinter(key);
  const statisticsKey = createHmac('sha256', key).update(STATISTICS_LABEL).digest().subarray(0, STATISTICS_KEY_BYTES);
  key.fill(0);
  const run = randomBytes(4).toString('hex');
  const id = exchangeIds(run);
  const time = new TimeFormatter(anchor);

  const log = await LogOutput.open({ client, start, config: config.log, id, time, losses, say });
  if (typeof log === 'string') return refuse(log);
  const exporter = log?.exporter ?? null;

  const statistics = new Statistics({ anchor, id, key: statisticsKey, windowNs: config.window });
  const opened = await openStore({
    start,
    keep: config.store.keep,
    anchor,
    run,
    losses,
    worker: prepared as Worker | null,
    say,
  });
  if (typeof opened === 'string') return refuse(opened);
  const store = opened;

  const tail = config.stats_only ? null : new TailHub(losses);
  const tailSubject = new ExchangeSubject(anchor);
  const tailFormat = new NdjsonFormat({ id, time });
  const sinks: RedactedSink[] = [];
  if (exporter !== null) sinks.push(exporter.exchange.bind(exporter));
  if (tail !== null)
    sinks.push((x) => {
      if (!tail.watched) return;
      const handshake = x.upgrade === 'websocket' ? id(x.connection, x.ordinal) : null;
      tail.publish(tailSubject.bind(x), () => tailFormat.exchange(x).trimEnd(), handshake);
    });
  if (store !== null && !config.stats_only) sinks.push(store.writer.call.bind(store.writer));
  const host = new HostFiles();
  const owners = new Owners({
    client,
    processes: new ProcessCache(host),
    cgroups: new CgroupPaths(host, start.mount),
    rules: config.services,
    // The first process is root's: whoever does not see its name sees nobody's.
    hidden: host.read('/proc/1/comm') === null,
  });
  void owners.learnListeners();
  const tapped = start.maps.some(({ name }) => name === 'secrets');
  const taps = tapped ? SecretReader.open(fd('secrets'), fd('taps'), anchor) : null;
  if (typeof taps === 'number')
    return refuse('Cannot map the ring of TLS secrets: was it handed over by the attacher?');
  const secrets = taps === null ? null : new SecretStore(LIVE_SECRET_LIMITS, true);
  const secretFeed = secrets === null ? null : new SecretFeed(secrets);
  const probe = new SelfProbe({
    inside: () => {
      const own = unifiedPath(host.read('/proc/self/cgroup') ?? '');
      return start.cgroups.some(({ path }) => path === '/' || own === path || own.startsWith(`${path}/`));
    },
  });
  const pipeline = new Pipeline({
    probe,
    offline: false,
    losses,
    secrets,
    policy: new CredentialPolicy(prints, config.redact),
    filter: filterOf(config.filter),
    statistics: statistics.observe.bind(statistics),
    websockets: (session) => {
      exporter?.websocket(session);
      if (!config.stats_only) store?.writer.websocket(session);
      if (tail?.watched === true)
        tail.websocket(id(session.connection, session.ordinal), () => tailFormat.websocket(session).trimEnd());
    },
    sinks: () => (exporter !== null || store !== null || tail?.watched === true ? sinks : []),
    handshakes: statistics.handshake.bind(statistics),
    tlsBegins: (connection) => packetTap.handshake(connection),
    verifyTags: config.tls.verify_tags,
    owners,
    connectionsMax: config.limits.connections,
    idleNs: config.timeouts.idle,
    memoryMax: config.limits.memory,
    responseTimeoutNs: config.timeouts.response,
    spare: (flow, direction, seq) => spares.value.tell(flow, direction, seq),
  });
  pipeline.anchored(anchor);

  const takeSecret = secretFeed?.take.bind(secretFeed);
  const readSecrets = (): void => {
    if (takeSecret !== undefined) taps?.drain(takeSecret);
  };
  const storing = store === null ? null : new StoreFeed(store, statistics);
  const storeClock =
    storing === null
      ? null
      : new StoreClock(() => storing.tick(steadyMs(), pipeline.counters.exchanges, status.totals().losses));
  const beforeLook = (): void => {
    readSecrets();
    storeClock?.looked();
  };
  const reader = new RingReader(ring.value, descriptors.ring, pipeline.capture, beforeLook);
  const packets = new PacketHub({
    losses,
    application: `Headwater ${version}`,
    wallNs: anchor.wallNs,
    secrets: secrets !== null,
    wanted: (wanted, withSecrets) => {
      reader.sink = wanted ? packetTap : pipeline.capture;
      packetTap.wantSecrets(withSecrets);
    },
    beforeHandingOn: () => packetTap.tellSecrets(),
    say,
  });
  const packetTap = new PacketTap(pipeline.capture, packets);
  const wallClock = new WallClock(say);
  const status = new StatusKeeper({
    version,
    wallClock,
    kernel,
    pipeline,
    ring: ring.value,
    counters: counters.value,
    client,
    secrets: taps === null || secretFeed === null ? null : { reader: taps, feed: secretFeed },
    tail,
    host,
    probe,
    start,
    windowNs: config.window,
    anchor,
  });

  const servers: Server[] = [];
  const serve = async (server: Server, listening: Promise<ListenResult>): Promise<string | null> => {
    const result = await listening;
    if (!result.ok) return `${result.message}\n  ${result.hint}`;
    servers.push(server);
    return null;
  };
  const history = new History(
    statistics,
    () => status.totals().losses,
    store === null ? null : `/proc/self/fd/${start.dataFd}`,
    {
      callsKept: store !== null && !config.stats_only,
    },
  );
  const settled = store === null || config.stats_only ? {} : { settled: settledIn(store, start.dataPath) };
  const api = apiServer({
    status,
    tail,
    packets: config.stats_only ? null : packets,
    why: (pids) => status.why(pids),
    history,
    ...settled,
  });
  const failed = await serve(api, listenFd(api, start.socketFd));
  if (failed !== null) return refuse(failed);
  status.listeners.push(start.socketPath);
  if (config.listen !== undefined) {
    const { host: address, port } = parseListen(config.listen)!;
    const metrics = new AgentMetrics(status, statistics, Number(anchor.wallNs / 1_000_000n));
    const server = publicServer(metrics, history, token);
    const listening = listenTcp(server, address, port);
    const problem = await serve(server, listening);
    if (problem !== null) return refuse(problem);
    const bound = await listening;
    if (bound.ok) status.listeners.push(bound.address);
  }

  reader.start();
  status.started();
  probe.start();
  setTimeout(() => unused.giveBack(), SETTLED_MS).unref();
  say(`capturing ${start.cgroups.map(({ path }) => path).join(', ')}; status, tail: ${start.socketPath}`);

  const workOut = (): void => {
    if (statistics.work(WORK_MS)) setTimeout(workOut, WORK_PAUSE_MS);
  };
  let ticks = 0;
  const heap = new LargeHeap();
  const timer = setInterval(() => {
    const now = sinceAnchor(anchor);
    if (counters.value.read().recordsLost > 0)
      unheard.value.tell(pipeline.capture, ring.value.used === 0 ? now : ring.value.readUpTo);
    pipeline.tracker.tick(now);
    readSecrets();
    pipeline.tls.tick(now);
    if (statistics.tick(now)) workOut();
    owners.tick();
    status.tick();
    wallClock.tick();
    storeClock?.second();
    heap.look();
    unused.look();
    if (++ticks % (FORGET_MS / TICK_MS) !== 0) return;
    prints.forget();
  }, TICK_MS);

  const reason = await new Promise<string>((resolve) => {
    client.listen({
      reopened: (fd) => log?.reopened(fd),
      drain: resolve,
      end: () => resolve('the attacher is gone'),
    });
  });
  clearInterval(timer);
  probe.stop();
  reader.stop();
  reader.drainAll();
  storeClock?.stop();
  // The records that ended a call may be among those that found no room: no later record of its connection can tell.
  const { classes, recordsLost } = counters.value.read();
  if (recordsLost > 0) unheard.value.tell(pipeline.capture, Number.POSITIVE_INFINITY);
  if (recordsLost > 0) pipeline.openBecause = 'ring_full';
  else if (classes.shed_head.segments > 0) pipeline.openBecause = 'shed_head';
  pipeline.finish();
  status.finish();
  tail?.close();
  packets.close();
  const totals = (): RunTotals => status.totals();
  statistics.finish();
  await exporter?.end(totals);
  const unwritten = (await storing?.close(steadyMs(), pipeline.counters.exchanges, status.totals().losses)) ?? 0;
  if (unwritten > 0) say(`${unwritten} calls could not be written to ${start.dataPath}`);
  for (const server of servers) server.close();
  await history.close();
  taps?.close();
  secrets?.close();
  process.stderr.write(`${status.ledgerText(reason)}\n`);
  client.close();
  return EXIT.DONE;
}

function refuse(problem: string): number {
  say(problem);
  return EXIT.MACHINE;
}
