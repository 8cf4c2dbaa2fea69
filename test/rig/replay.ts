/** What `replay` says of a capture, without a process: the same stages, the same lines. */
import { Readable } from 'node:stream';
import { Pipeline, type RedactedSink } from '../../src/agent/pipeline.ts';
import { type ClockAnchor, TimeFormatter } from '../../src/base/clock.ts';
import { exchangeId } from '../../src/exchange/id.ts';
import { NdjsonFormat } from '../../src/export/log/ndjson.ts';
import { LossLedger } from '../../src/model/loss.ts';
import type { ExchangeRecord, SummaryRecord } from '../../src/model/record.ts';
import { readCapture } from '../../src/pcap/reader.ts';
import { KeepEverything, type RedactionPolicy } from '../../src/redact/policy.ts';
import { readKeyLog } from '../../src/tls/keylog.ts';
import { FILE_SECRET_LIMITS, SecretStore } from '../../src/tls/secrets.ts';
import { validLine } from '../unit/log-schema.ts';

/** A line of the log, with what ExchangeRecord leaves out. */
export interface ReplayedExchange extends ExchangeRecord {
  readonly upgrade?: string;
  readonly stream_id?: number;
  readonly grpc?: { readonly status: number | null; readonly response_messages: number | null };
  readonly stream?: ReplayedStream;
  readonly anomalies?: readonly string[];
  readonly connection: string;
}

export interface ReplayedStream {
  readonly kind: string;
  readonly events: number | null;
  readonly first_ns: number | null;
  readonly last_ns: number | null;
  readonly max_gap_ns: number | null;
  readonly partial?: boolean;
}

/** A line of the type websocket, as far as tests read it by name. */
export interface ReplayedSession {
  readonly exchange: string;
  readonly from_client: ReplayedFrames;
  readonly from_server: ReplayedFrames;
}

interface ReplayedFrames {
  readonly bytes: { readonly text: number; readonly binary: number };
  readonly frames: number;
  readonly masked: number;
}

export interface Replayed {
  readonly exchanges: ReplayedExchange[];
  /** Lines of the type websocket. */
  readonly websockets: readonly ReplayedSession[];
  readonly summary: SummaryRecord;
  readonly tracker: Pipeline['tracker'];
  readonly notHttp: Pipeline['decoding']['notHttp'];
  readonly tls: Pipeline['tls'];
}

/** Replays a capture file in memory, or a file by its path. Throws when it cannot be read, or a line breaks the schema. */
export async function replayed(
  capture: Buffer | string,
  policy: RedactionPolicy = new KeepEverything(),
  keylog: Buffer | null = null,
): Promise<Replayed> {
  const losses = new LossLedger();
  const lines: string[] = [];
  const sessions: string[] = [];
  let format: NdjsonFormat | null = null;
  const sinks: readonly RedactedSink[] = [(exchange) => void lines.push(format!.exchange(exchange))];
  const secrets = new SecretStore(FILE_SECRET_LIMITS, false);
  if (keylog !== null) readKeyLog(keylog, secrets, 0);
  const pipeline = new Pipeline({
    losses,
    offline: true,
    secrets,
    owners: null,
    policy,
    filter: null,
    sinks: () => sinks,
    websockets: (session) => void sessions.push(format!.websocket(session)),
  });
  const open = (anchor: ClockAnchor): void => {
    pipeline.anchored(anchor);
    format = new NdjsonFormat({ id: (c, n) => exchangeId('test', c, n), time: new TimeFormatter(anchor) });
  };
  const inMemory = typeof capture !== 'string';
  const result = await readCapture(inMemory ? '-' : capture, pipeline.capture, losses, {
    onAnchor: open,
    onSecrets: (_type, data) => void readKeyLog(data, secrets, 0),
    ...(inMemory ? { stdin: Readable.from([capture]) } : {}),
  });
  if (!result.ok) throw new Error(result.message);
  if (format === null) open({ wallNs: 0n });
  pipeline.finish();
  const { segments, bytes, connections } = pipeline.tracker.counters;
  const { exchanges } = pipeline.counters;
  const end = format!.end({ segments, bytes, connections, exchanges, losses: losses.totals() }, lines.length);
  const records = [...lines, ...sessions, end].map((line) => JSON.parse(line));
  for (const record of records) {
    if (!validLine(record)) throw new Error(`${JSON.stringify(validLine.errors)}: ${JSON.stringify(record)}`);
  }
  const summary = records.pop() as SummaryRecord;
  return {
    websockets: records.splice(lines.length) as ReplayedSession[],
    exchanges: records as ReplayedExchange[],
    summary,
    tracker: pipeline.tracker,
    notHttp: pipeline.decoding.notHttp,
    tls: pipeline.tls,
  };
}
