/**
 * Made-up calls through a pipeline of their own, before the first real one. The runtime compiles what is used often, and
 * until then a call costs five times as much: at 50,000 calls a second the ring was full within the first half second.
 */
import { CgroupPaths } from '../attacher/cgroups.ts';
import { HostFiles } from '../attacher/host.ts';
import { ProcessCache } from '../attacher/processes.ts';
import { TimeFormatter } from '../base/clock.ts';
import { exchangeIds } from '../exchange/id.ts';
import { LineBuffer } from '../export/log/line.ts';
import { NdjsonFormat } from '../export/log/ndjson.ts';
import { MadeUpRing } from '../kernel/made-up.ts';
import { LossLedger } from '../model/loss.ts';
import { Fingerprinter } from '../redact/fingerprint.ts';
import { CredentialPolicy } from '../redact/policy.ts';
import type { StoreRehearsal } from '../store/store-rehearsal.ts';
import { SecretMemory } from '../tls/secret-memory.ts';
import { LIVE_SECRET_LIMITS, SecretStore } from '../tls/secrets.ts';
import { Owners } from './owners.ts';
import { Pipeline, type RedactedSink } from './pipeline.ts';
import { RehearsedConnection } from './rehearsal-traffic.ts';
import { SelfProbe } from './self-probe.ts';
import { Statistics } from './statistics.ts';

/**
 * Calls of each pass; enough in all for the compiler to have made up its mind. Every pass has a pipeline of its own: of a
 * class with one instance, V8 compiles the instance's fields in as constants, and throws that code away when a second comes.
 */
const PASSES = [4_000, 4_000, 32_000];
/** On a slow machine a pass ends sooner. Of this thread's own time: on a busy machine 300 ms may be a tenth of it, and nothing would be learnt. */
const PASS_CPU_US_MAX = 300_000;
/** However busy the machine is, the start does not wait longer. */
const PASS_MS_MAX = 1_500;
const CONNECTIONS = 32;
/** One connection of so many is in TLS, where its secrets may come. */
const TLS_EVERY = 4;
/** What they need: those that wait, and the keys of the connections. */
const SECRET_SLOTS = 16 << 10;
const RING_BYTES = 256 << 10;
/** Records of a call on each connection, and of the connections' ends. */
const ROUND_BYTES_MAX = 96 << 10;
const KEY_BYTES = 32;
/** Times as large as real ones: code compiled for small integers is thrown away at the first large one. */
const FIRST_NS = 20e9;
const CALL_NS = 60_000;
/** Some windows end on the way. */
const WINDOW_NS = 500e6;
const ANCHOR = { monotonicNs: 0n, wallNs: 1_795_363_440_000_000_000n };

/** What else becomes of each call besides the statistics. */
export interface Rehearsed {
  readonly logged: boolean;
  /** null: nothing is stored. */
  readonly store: StoreRehearsal | null;
  /** Secrets of TLS may come. */
  readonly secrets: boolean;
}

/** Calls that were made up, and those that came out: all of them. */
export interface Rehearsal {
  readonly made: number;
  readonly out: number;
}

/** Runs it; `rest` after each pass. */
export function rehearse(rehearsed: Rehearsed, rest: () => void, passes: readonly number[] = PASSES): Rehearsal {
  return passes.reduce(
    (sum, calls) => {
      const { made, out } = pass(rehearsed, calls);
      rehearsed.store?.endSegment();
      rest();
      return { made: sum.made + made, out: sum.out + out };
    },
    { made: 0, out: 0 },
  );
}

function pass(rehearsed: Rehearsed, calls: number): Rehearsal {
  const id = exchangeIds('rehearsal');
  const statistics = new Statistics({ anchor: ANCHOR, id, key: Buffer.alloc(KEY_BYTES), windowNs: WINDOW_NS });
  const secrets = rehearsed.secrets ? new SecretStore(LIVE_SECRET_LIMITS, true, new SecretMemory(SECRET_SLOTS)) : null;
  const pipeline = rehearsalPipeline(rehearsed, statistics, id, secrets);
  pipeline.anchored(ANCHOR);
  const made = new MadeUpRing(RING_BYTES, ANCHOR);
  const connections = Array.from(
    { length: CONNECTIONS },
    (_, i) => new RehearsedConnection(made, i + 1, CONNECTIONS, process.pid, i % TLS_EVERY === 1 ? secrets : null),
  );
  const until = performance.now() + PASS_MS_MAX;
  const usedBefore = threadUs();
  let n = 0;
  for (let round = 1; n < calls; round++) {
    const ts = FIRST_NS + n * CALL_NS;
    if (made.room < ROUND_BYTES_MAX) {
      made.turn();
      made.ring.drain(pipeline.capture, RING_BYTES);
      if (performance.now() > until || threadUs() - usedBefore > PASS_CPU_US_MAX) break;
      statistics.tick(ts);
      pipeline.tracker.tick(ts);
    }
    // Some calls at once: all are asked, then all are answered.
    const first = n;
    n = Math.min(calls, n + 1 + (round % CONNECTIONS));
    for (let i = first; i < n; i++) connections[i - first]!.ask(i, ts + (i - first) * CALL_NS);
    for (let i = first; i < n; i++) connections[i - first]!.answer(i, ts + (n - first) * CALL_NS);
  }
  made.ring.drain(pipeline.capture, RING_BYTES);
  pipeline.tracker.finish();
  statistics.finish();
  secrets?.close();
  return { made: n, out: pipeline.counters.exchanges };
}

/** CPU time of this thread, microseconds. */
function threadUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

/** The made-up sockets have owners. */
const NOBODY_KNOWN = async () => ({ ok: true, value: [] as never[] }) as const;

function rehearsalPipeline(
  { logged, store }: Rehearsed,
  statistics: Statistics,
  id: ReturnType<typeof exchangeIds>,
  secrets: SecretStore | null,
): Pipeline {
  const host = new HostFiles();
  const sinks: RedactedSink[] = [];
  if (logged) {
    const format = new NdjsonFormat({ id, time: new TimeFormatter(ANCHOR) });
    const line = new LineBuffer();
    sinks.push((x) => {
      line.clear();
      format.encode(x, line);
    });
  }
  if (store !== null) sinks.push((x) => store.call(x));
  return new Pipeline({
    offline: false,
    losses: new LossLedger(),
    policy: new CredentialPolicy(new Fingerprinter(Buffer.alloc(KEY_BYTES))),
    filter: null,
    secrets,
    handshakes: statistics.handshake.bind(statistics),
    statistics: statistics.observe.bind(statistics),
    sinks: () => sinks,
    probe: new SelfProbe({ inside: () => false }),
    owners: new Owners({
      client: { listeners: NOBODY_KNOWN, owners: NOBODY_KNOWN, processes: NOBODY_KNOWN },
      processes: new ProcessCache(host),
      cgroups: new CgroupPaths(host, ''),
      rules: [],
      hidden: false,
    }),
  });
}
