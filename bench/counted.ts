/**
 * A capture file through the pipeline with some of the statistics: `node bench/counted.ts FILE WHAT PASSES`. Prints JSON: the thread's CPU in
 * ns a call of each pass, the garbage collector's share that runs on this thread included, and the calls of a pass. WHAT: `none` (parsed and paired alone), `redacted`
 * (seen by one who wants the route and the redacted view), `engine` (response time, errors, volume, load), `all` (header variability too),
 * `stored` (all, and encoded for the store).
 */

import { Pipeline, type RedactedSink } from '../src/agent/pipeline.ts';
import { Statistics } from '../src/agent/statistics.ts';
import type { ClockAnchor } from '../src/base/clock.ts';
import { exchangeId } from '../src/exchange/id.ts';
import type { Connection } from '../src/model/connection.ts';
import { LossLedger } from '../src/model/loss.ts';
import { readCapture } from '../src/pcap/reader.ts';
import { Fingerprinter } from '../src/redact/fingerprint.ts';
import { CredentialPolicy } from '../src/redact/policy.ts';
import { StatsEngine } from '../src/stats/engine.ts';
import { CallEncoder } from '../src/store/call-encoder.ts';

const [file, what, passes] = process.argv.slice(2);
const WINDOW_NS = 60e9;
const TICK_NS = 1e9;
const KEY = Buffer.alloc(32, 7);

const id = (connection: Connection, ordinal: number): string => exchangeId('bench', connection, ordinal);

interface Counted {
  readonly statistics: RedactedSink | null;
  readonly sinks: readonly RedactedSink[];
  readonly finish: () => void;
}

function counted(anchor: ClockAnchor): Counted {
  if (what === 'none') return { statistics: null, sinks: [], finish: () => undefined };
  let seen = 0;
  if (what === 'redacted') {
    const look: RedactedSink = (x) => {
      seen += x.route.length;
    };
    return { statistics: look, sinks: [], finish: () => undefined };
  }
  if (what === 'engine') {
    const engine = new StatsEngine({ anchor, id });
    return { statistics: engine.observe.bind(engine), sinks: [], finish: () => engine.finish() };
  }
  const statistics = new Statistics({ anchor, id, key: KEY, windowNs: WINDOW_NS });
  let next = Number.NEGATIVE_INFINITY;
  const observe: RedactedSink = (x) => {
    statistics.observe(x);
    const at = x.response?.lastByteAt ?? 0;
    if (at < next) return;
    next = at + TICK_NS;
    statistics.tick(at);
  };
  const sinks: RedactedSink[] = [];
  if (what === 'stored') {
    const encoder = new CallEncoder('bench');
    sinks.push((x) => {
      encoder.encode(x, ++seen);
      encoder.words.pending.length = 0;
    });
  }
  return { statistics: observe, sinks, finish: () => statistics.finish() };
}

async function pass(): Promise<{ readonly ns: number; readonly calls: number }> {
  let counts: Counted | null = null;
  const losses = new LossLedger();
  const pipeline = new Pipeline({
    losses,
    offline: true,
    owners: null,
    policy: new CredentialPolicy(new Fingerprinter(KEY)),
    filter: null,
    statistics: what === 'none' ? null : (x) => counts!.statistics!(x),
    sinks: () => counts!.sinks,
  });
  const start = process.threadCpuUsage();
  const result = await readCapture(file!, pipeline.capture, losses, {
    anchor: null,
    onAnchor: (anchor) => {
      pipeline.anchored(anchor);
      counts = counted(anchor);
    },
  });
  if (!result.ok) throw new Error(result.message);
  pipeline.finish();
  counts!.finish();
  const { user, system } = process.threadCpuUsage(start);
  const { exchanges } = pipeline.counters;
  return { ns: ((user + system) * 1_000) / exchanges, calls: exchanges };
}

const each: number[] = [];
let calls = 0;
for (let n = 0; n < Number(passes); n++) {
  const one = await pass();
  calls = one.calls;
  each.push(one.ns);
}
process.stdout.write(`${JSON.stringify({ what, calls, ns: each })}\n`);
