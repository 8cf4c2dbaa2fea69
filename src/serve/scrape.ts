/**
 * GET /metrics: OpenMetrics text, protobuf with native histograms, or the older text, as the scraper asks for it. Made and
 * sent in slices, one scrape at a time, so that a large answer does not hold up capture.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { writeAgent } from '../export/prometheus/agent.ts';
import type { Exposition } from '../export/prometheus/family.ts';
import { LastAnswers } from '../export/prometheus/last-answer.ts';
import { PROTOBUF_TYPE, ProtobufExposition } from '../export/prometheus/protobuf.ts';
import { OPENMETRICS_TYPE, PLAIN_TYPE, TextExposition } from '../export/prometheus/text.ts';
import type { StatusSource } from '../model/status.ts';
import { sendError } from './http.ts';

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
const SMALL_BYTES = 16 << 10;
/** Answers being made or sent at once: each may hold tens of megabytes. */
const SCRAPES_MAX = 4;
/** A scraper that takes longer to read its answer is given up. */
const SEND_MS_MAX = 30_000;

export class Scrapes {
  readonly #source: MetricsSource;
  readonly #last = new LastAnswers();
  #running = 0;
  /** Settles when the answer that is being made is done. */
  #made: Promise<unknown> = Promise.resolve();

  constructor(source: MetricsSource) {
    this.#source = source;
  }

  /** Rejects when the scraper goes away. */
  async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.#running >= SCRAPES_MAX) {
      response.setHeader('retry-after', '5');
      return sendError(response, 503, 'busy', `${SCRAPES_MAX} scrapes are on their way: ask again in some seconds`);
    }
    this.#running++;
    try {
      const out = this.#exposition(request.headers.accept ?? '');
      const made = this.#made.then(() => this.#make(out));
      this.#made = made.catch(() => {});
      await send(await made, out.contentType, request, response);
    } finally {
      this.#running--;
    }
  }

  #exposition(accept: string): Exposition {
    const { createdMs } = this.#source;
    switch (wanted(accept)) {
      case 'protobuf':
        return new ProtobufExposition(createdMs, this.#last);
      case 'plain':
        return new TextExposition(null, this.#last);
      default:
        return new TextExposition(createdMs, this.#last);
    }
  }

  async #make(out: Exposition): Promise<Buffer[]> {
    writeAgent(await this.#source.status.status({ programs: false }), out);
    await inSlices(this.#source.statistics(out));
    const chunks: Buffer[] = [];
    await inSlices(chunked(out.finish(), chunks));
    return chunks;
  }
}

async function send(
  chunks: readonly Buffer[],
  type: string,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gzipped = /\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''));
  response.writeHead(200, {
    'content-type': type,
    vary: 'Accept, Accept-Encoding',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...(gzipped
      ? { 'content-encoding': 'gzip' }
      : { 'content-length': chunks.reduce((sum, { length }) => sum + length, 0) }),
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  const signal = AbortSignal.timeout(SEND_MS_MAX);
  const body = Readable.from(inTurns(chunks));
  if (gzipped) await pipeline(body, createGzip({ level: 1 }), response, { signal });
  else await pipeline(body, response, { signal });
}

/** Prometheus names protobuf first, with the highest weight, when native histograms are switched on. */
function wanted(accept: string): 'protobuf' | 'plain' | 'openmetrics' {
  const weight = (type: string): number => {
    const part = accept.split(',').find((range) => range.trim().toLowerCase().startsWith(type));
    return part === undefined ? 0 : Number(/;\s*q=([\d.]+)/.exec(part)?.[1] ?? 1);
  };
  const protobuf = weight(PROTOBUF_TYPE.split(';')[0]!);
  const openmetrics = weight(OPENMETRICS_TYPE.split(';')[0]!);
  const plain = weight(PLAIN_TYPE.split(';')[0]!);
  if (protobuf > 0 && protobuf >= openmetrics && protobuf >= plain) return 'protobuf';
  return plain > openmetrics ? 'plain' : 'openmetrics';
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Writing takes its time too. */
async function* inTurns(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  for (const chunk of chunks) {
    yield chunk;
    await turn();
  }
}

async function inSlices(work: Iterator<unknown>): Promise<void> {
  for (let end = performance.now() + SLICE_MS; work.next().done !== true; ) {
    if (performance.now() < end) continue;
    await turn();
    end = performance.now() + SLICE_MS;
  }
}

/** Small pieces joined, large ones as they are. */
function* chunked(parts: Iterable<Buffer>, chunks: Buffer[]): Generator<void> {
  let small: Buffer[] = [];
  let length = 0;
  const flush = (): void => {
    if (length > 0) chunks.push(Buffer.concat(small, length));
    small = [];
    length = 0;
  };
  for (const part of parts) {
    if (length + part.length > CHUNK_BYTES) flush();
    if (part.length > SMALL_BYTES) {
      flush();
      chunks.push(part);
    } else {
      small.push(part);
      length += part.length;
    }
    yield;
  }
  flush();
}
