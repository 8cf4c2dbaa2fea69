/**
 * Made-up calls through a pipeline of their own, before the first real one. The runtime compiles what is used often, and
 * until then a call costs five times as much: at 50,000 calls a second the ring was full within the first half second.
 */
import { TimeFormatter } from '../base/clock.ts';
import { exchangeId } from '../exchange/id.ts';
import { LineBuffer } from '../export/log/line.ts';
import { NdjsonFormat } from '../export/log/ndjson.ts';
import { MadeUpRing } from '../kernel/made-up.ts';
import type { Connection } from '../model/connection.ts';
import { LossLedger } from '../model/loss.ts';
import { EGRESS, INGRESS, TCP_ACK } from '../model/segment.ts';
import { Fingerprinter } from '../redact/fingerprint.ts';
import { CredentialPolicy } from '../redact/policy.ts';
import { CallEncoder } from '../store/call-encoder.ts';
import { Pipeline, type RedactedSink } from './pipeline.ts';
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
const RING_BYTES = 64 << 10;
const KEY_BYTES = 32;
const SERVER_PORT = 8_080;
const FIRST_CLIENT_PORT = 40_000;
/**
 * Times and sequence numbers as large as real ones: code compiled for small integers is thrown away at the first large one.
 */
const FIRST_NS = 20e9;
const CALL_NS = 60_000;
const FIRST_SEQ = 0xfff0_0000;
/** Some windows end on the way. */
const WINDOW_NS = 500e6;
const ANCHOR = { monotonicNs: 0n, wallNs: 1_795_363_440_000_000_000n };

const request = (n: number): string =>
  `${n % 4 === 3 ? 'POST' : 'GET'} /v1/items/${n % 97}?page=${n % 7} HTTP/1.1\r\nHost: api.example\r\nUser-Agent: rehearsal/1.0\r\n` +
  'Accept: application/json\r\nAccept-Encoding: gzip, deflate\r\nAuthorization: Bearer not-a-real-token-0123456789\r\n' +
  `Content-Type: application/json\r\nX-Request-Id: ${n.toString(16).padStart(8, '0')}-4c1e-9f\r\n${n % 4 === 3 ? 'Content-Length: 8\r\n\r\n{"a": 1}' : '\r\n'}`;
const BODIES = ['', 'x'.repeat(150), 'x'.repeat(700)];
const CHUNKED = 'Transfer-Encoding: chunked\r\n\r\n7\r\n{"a":1}\r\n0\r\n\r\n';
function response(n: number): string {
  const body = BODIES[n % BODIES.length]!;
  const framing = n % 8 === 7 ? CHUNKED : `Content-Length: ${body.length}\r\n\r\n${body}`;
  return (
    `HTTP/1.1 ${n % 16 === 5 ? '404 Not Found' : '200 OK'}\r\nServer: rehearsal\r\nDate: Sun, 22 Nov 2026 16:04:05 GMT\r\n` +
    `Content-Type: application/json\r\nX-Request-Id: ${n.toString(16).padStart(8, '0')}-4c1e-9f\r\nCache-Control: no-store\r\n` +
    `ETag: W/"5e2c-1899"\r\nX-Ratelimit-Remaining: ${n % 5_000}\r\nVary: Accept-Encoding, Origin\r\n${framing}`
  );
}

/** What else becomes of each call besides the statistics. */
export interface Rehearsed {
  readonly logged: boolean;
  readonly stored: boolean;
}

/** Runs it. Returns how many calls came out: all that went in. */
export function rehearse(rehearsed: Rehearsed, passes: readonly number[] = PASSES): number {
  return passes.reduce((sum, calls) => sum + pass(rehearsed, calls), 0);
}

function pass(rehearsed: Rehearsed, calls: number): number {
  const statistics = new Statistics({ anchor: ANCHOR, id: idOf, key: Buffer.alloc(KEY_BYTES), windowNs: WINDOW_NS });
  const pipeline = rehearsalPipeline(rehearsed, statistics);
  pipeline.anchored(ANCHOR);
  const made = new MadeUpRing(RING_BYTES, ANCHOR);
  // Sequence numbers by connection: of the client, of the server.
  const sent = new Uint32Array(CONNECTIONS).fill(FIRST_SEQ);
  const answered = new Uint32Array(CONNECTIONS).fill(FIRST_SEQ);
  const until = performance.now() + PASS_MS_MAX;
  const usedBefore = threadUs();
  for (let n = 0; n < calls; n++) {
    const asked = request(n);
    const answer = response(n);
    if (made.room < MadeUpRing.sizeOf(asked) + MadeUpRing.sizeOf(answer) + MadeUpRing.sizeOf('')) {
      made.turn();
      made.ring.drain(pipeline.capture, RING_BYTES);
      if (performance.now() > until || threadUs() - usedBefore > PASS_CPU_US_MAX) break;
      statistics.tick(FIRST_NS + n * CALL_NS);
    }
    const i = n % CONNECTIONS;
    const flow = { flow: i + 1, tcpFlags: TCP_ACK, localPort: SERVER_PORT, remotePort: FIRST_CLIENT_PORT + i };
    const ts = FIRST_NS + n * CALL_NS;
    made.segment({ ...flow, ts, direction: INGRESS, seq: sent[i]!, ack: answered[i]!, payload: asked });
    sent[i]! += asked.length;
    made.segment({ ...flow, ts: ts + 9_000, direction: EGRESS, seq: answered[i]!, ack: sent[i]!, payload: answer });
    answered[i]! += answer.length;
  }
  made.ring.drain(pipeline.capture, RING_BYTES);
  pipeline.tracker.finish();
  statistics.finish();
  return pipeline.counters.exchanges;
}

/** CPU time of this thread, microseconds. */
function threadUs(): number {
  const { user, system } = process.threadCpuUsage();
  return user + system;
}

const idOf = (connection: Connection, ordinal: number): string => exchangeId('rehearsal', connection, ordinal);

function rehearsalPipeline({ logged, stored }: Rehearsed, statistics: Statistics): Pipeline {
  const sinks: RedactedSink[] = [];
  if (logged) {
    const format = new NdjsonFormat({ id: idOf, time: new TimeFormatter(ANCHOR) });
    const line = new LineBuffer();
    sinks.push((x) => {
      line.clear();
      format.encode(x, line);
    });
  }
  if (stored) {
    const encoder = new CallEncoder('rehearsal');
    let calls = 0;
    sinks.push((x) => {
      encoder.encode(x, ++calls);
      encoder.words.pending.length = 0;
    });
  }
  return new Pipeline({
    offline: false,
    losses: new LossLedger(),
    policy: new CredentialPolicy(new Fingerprinter(Buffer.alloc(KEY_BYTES))),
    filter: null,
    statistics: statistics.observe.bind(statistics),
    sinks: () => sinks,
    owners: null,
  });
}
