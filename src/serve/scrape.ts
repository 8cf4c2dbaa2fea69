/**
 * GET /metrics: OpenMetrics text, or protobuf with native histograms for a scraper that asks for it. Made in slices, so that a
 * large answer does not hold up capture.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { writeAgent } from '../export/prometheus/agent.ts';
import type { Exposition } from '../export/prometheus/family.ts';
import { PROTOBUF_TYPE, ProtobufExposition } from '../export/prometheus/protobuf.ts';
import { TextExposition } from '../export/prometheus/text.ts';
import type { StatusSource } from '../model/status.ts';

/** What /metrics is made of. */
export interface MetricsSource {
  readonly status: StatusSource;
  /** Unix ms since when everything is counted. */
  readonly createdMs: number;
  /** Writes the statistics, yielding often. */
  statistics(out: Exposition): Generator<void>;
}

/** How long one slice may take: a packet waits in the ring meanwhile. */
const SLICE_MS = 4;
const CHUNK_BYTES = 64 << 10;
const squeeze = promisify(gzip);

export async function sendMetrics(
  source: MetricsSource,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const out: Exposition = wantsProtobuf(request.headers.accept ?? '')
    ? new ProtobufExposition()
    : new TextExposition(source.createdMs);
  writeAgent(await source.status.status({ programs: false }), out);
  await inSlices(source.statistics(out));
  const body = await join(out.finish());
  const gzipped = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  const bytes = gzipped ? await squeeze(body, { level: 1 }) : body;
  response.writeHead(200, {
    'content-type': out.contentType,
    'content-length': bytes.length,
    vary: 'Accept, Accept-Encoding',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(gzipped ? { 'content-encoding': 'gzip' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : bytes);
}

/** Prometheus names protobuf first, with the highest weight, when native histograms are switched on. */
function wantsProtobuf(accept: string): boolean {
  const weight = (type: string): number => {
    const part = accept.split(',').find((range) => range.trim().toLowerCase().startsWith(type));
    return part === undefined ? -1 : Number(/;\s*q=([\d.]+)/.exec(part)?.[1] ?? 1);
  };
  const protobuf = weight(PROTOBUF_TYPE.split(';')[0]!);
  return protobuf > 0 && protobuf >= weight('application/openmetrics-text') && protobuf >= weight('text/plain');
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function inSlices(work: Iterator<unknown>): Promise<void> {
  for (let end = performance.now() + SLICE_MS; work.next().done !== true; ) {
    if (performance.now() < end) continue;
    await turn();
    end = performance.now() + SLICE_MS;
  }
}

async function join(parts: Iterable<Buffer | string>): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let text = '';
  const work = (function* (): Generator<void> {
    for (const part of parts) {
      if (typeof part !== 'string') chunks.push(part);
      else {
        text += part;
        if (text.length < CHUNK_BYTES) continue;
        chunks.push(Buffer.from(text));
        text = '';
      }
      yield;
    }
  })();
  await inSlices(work);
  chunks.push(Buffer.from(text));
  return Buffer.concat(chunks);
}
