/**
 * Hostile calls through a whole pipeline with statistics and store: `node hostile-memory.ts CALLS FOLDER`. Every call has ten header names
 * that never came before and a path of its own, every hundredth a value of 60 KB. Prints JSON: calls that came out, calls stored and lost, the
 * largest resident set, and what the statistics counted as beyond their bounds.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { Pipeline } from '../../src/agent/pipeline.ts';
import { Statistics } from '../../src/agent/statistics.ts';
import { StoreFeed } from '../../src/agent/store-feed.ts';
import { exchangeId } from '../../src/exchange/id.ts';
import { MadeUpRing } from '../../src/kernel/made-up.ts';
import { LossLedger } from '../../src/model/loss.ts';
import { EGRESS, INGRESS, TCP_ACK } from '../../src/model/segment.ts';
import { Fingerprinter } from '../../src/redact/fingerprint.ts';
import { CredentialPolicy } from '../../src/redact/policy.ts';
import { Store } from '../../src/store/store.ts';

const [calls, folder] = [Number(process.argv[2]), process.argv[3]!];
const ANCHOR = { monotonicNs: 0n, wallNs: 1_795_363_440_000_000_000n };
const RING_BYTES = 1 << 20;
const CONNECTIONS = 64;
const NAMES_A_CALL = 10;
const LARGE_EVERY = 100;
const CALL_NS = 1e6;
const WINDOW_NS = 1e9;
const TICK_CALLS = 1_000;
const TURN_CALLS = 64;

/** Numbers that look random and are the same in every run (Marsaglia, "Xorshift RNGs", 2003). */
let state = 0x9e3779b9;
const random = (): number => {
  state ^= state << 13;
  state ^= state >>> 17;
  state ^= state << 5;
  return state >>> 0;
};
const word = (): string => random().toString(36);

let made = 0;
const names = (): string => {
  let text = '';
  for (let i = 0; i < NAMES_A_CALL; i++) text += `X-${word()}-${++made}: ${word()}${word()}\r\n`;
  return text;
};

const losses = new LossLedger();
const id = exchangeId.bind(null, 'hostile');
const statistics = new Statistics({ anchor: ANCHOR, id, key: Buffer.alloc(16, 3), windowNs: WINDOW_NS });
const opened = await Store.open(
  folder,
  { anchor: ANCHOR, run: 'hostile', losses, retention: { ageMs: null, bytes: null }, report: () => undefined },
  Number(ANCHOR.wallNs / 1_000_000n),
);
if (!opened.ok) throw new Error(opened.message);
const { store } = opened;
const storing = new StoreFeed(store, statistics);
const pipeline = new Pipeline({
  offline: false,
  losses,
  policy: new CredentialPolicy(new Fingerprinter(Buffer.alloc(32, 5))),
  filter: null,
  statistics: statistics.observe.bind(statistics),
  sinks: () => [store.writer.call.bind(store.writer)],
  owners: null,
});
pipeline.anchored(ANCHOR);
const ring = new MadeUpRing(RING_BYTES, ANCHOR);
const sent = new Uint32Array(CONNECTIONS);
const answered = new Uint32Array(CONNECTIONS);
let rss = 0;
const wallMs = (ns: number): number => Number(ANCHOR.wallNs / 1_000_000n) + ns / 1e6;

for (let n = 0; n < calls; n++) {
  const large = n % LARGE_EVERY === 0 ? `X-Large: ${word().repeat(10_000).slice(0, 60_000)}\r\n` : '';
  const path = `/${word()}/${word()}/${n % 3 === 0 ? word() : 'items'}`;
  const asked = `GET ${path} HTTP/1.1\r\nHost: ${word()}.example\r\n${large}${names()}\r\n`;
  const answer = `HTTP/1.1 ${200 + (n % 300)} OK\r\n${names()}Content-Length: 0\r\n\r\n`;
  if (ring.room < MadeUpRing.sizeOf(asked) + MadeUpRing.sizeOf(answer) + MadeUpRing.sizeOf('')) {
    ring.turn();
    ring.ring.drain(pipeline.capture, Number.POSITIVE_INFINITY);
  }
  const i = n % CONNECTIONS;
  const flow = { flow: i + 1, tcpFlags: TCP_ACK, localPort: 8_080, remotePort: 40_000 + i };
  const ts = n * CALL_NS;
  ring.segment({ ...flow, ts, direction: INGRESS, seq: sent[i]!, ack: answered[i]!, payload: asked });
  sent[i]! += asked.length;
  ring.segment({ ...flow, ts: ts + 9_000, direction: EGRESS, seq: answered[i]!, ack: sent[i]!, payload: answer });
  answered[i]! += answer.length;
  if (n % TICK_CALLS === 0) {
    statistics.tick(ts);
    storing.tick(wallMs(ts), pipeline.counters.exchanges, losses.totals());
    rss = Math.max(rss, process.memoryUsage.rss());
  }
  if (n % TURN_CALLS === 0) await turn();
}
ring.ring.drain(pipeline.capture, Number.POSITIVE_INFINITY);
pipeline.finish();
statistics.finish();
rss = Math.max(rss, process.memoryUsage.rss());
const { accepted, lost } = store.writer;
await storing.close(wallMs(calls * CALL_NS), pipeline.counters.exchanges, losses.totals());
rss = Math.max(rss, process.memoryUsage.rss());
const { exchanges } = pipeline.counters;
const health = statistics.engine.health();
process.stdout.write(
  `${JSON.stringify({ exchanges, accepted, lost, names: made, rss, series: health.series, overflow: health.overflow, header_overflow: statistics.headers.overflow })}\n`,
);
