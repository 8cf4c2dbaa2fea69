/**
 * What is known of one series (service, side, method, route) over a span of time: counters, histograms, the first error of
 * each kind. Two states of one series merge exactly into the state of both spans, in any order, so minutes become hours and
 * days without loss, and a report over any range is one merge.
 */
import type { Side } from '../model/connection.ts';
import { LOAD_BUCKETS } from '../model/load.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import { ERROR_CLASSES } from './error-class.ts';
import { decodeFirst, earlier, encodeFirst, type FirstError } from './first-error.ts';
import { GrpcCalls } from './grpc-calls.ts';
import { ExponentialHistogram, type HistogramMemory } from './sketch/histogram.ts';

export interface SeriesKey {
  readonly service: string;
  readonly side: Side;
  /** "" together with route "": the row of the service itself, which also holds calls whose request was not seen. */
  readonly method: string;
  readonly route: string;
}

/** Names of the counters, in the order in which they are stored: new ones are added at the end. */
export const COUNTERS = [
  'calls',
  /** Calls that count into the error rate (see error-class.ts). */
  'errors',
  ...ERROR_CLASSES,
  'upgraded',
  'open',
  /** Calls without a response time: no end, no time in the capture, no whole response. */
  'untimed',
  /** Times that contradict each other (an end before its beginning); not in any histogram. */
  'disordered',
  /** The response began before the request had ended: no think time. */
  'early',
  'request_header',
  'request_body',
  'response_header',
  'response_body',
  /** Connections whose first call this was: seen from their opening, or older than the agent. */
  'connections_opened',
  'connections_joined',
  'http/1.0',
  'http/1.1',
  'h2',
  'h2c',
  'grpc',
  'websocket',
  'upgraded_other',
  /** Calls that are here because a dimension was full. */
  'overflow',
] as const;
export type Counter = (typeof COUNTERS)[number];

/** Position of each counter. */
export const COUNTER = Object.freeze(Object.fromEntries(COUNTERS.map((name, i) => [name, i]))) as Readonly<
  Record<Counter, number>
>;

/** Times of a call besides its response time; see engine.ts. */
export const PHASES = ['ttfb', 'upload', 'think', 'download'] as const;
export type Phase = (typeof PHASES)[number];

/** Status codes are 100 to 999: so many can be in one state. The calls of others, and those that a series does not tell apart, have code 0. */
const STATUS_MIN = 100;
export const STATUS_END = 1_000;
/** Places for status codes to begin with: as many as a series tells apart (series-table.ts). */
export const STATUSES_FIRST = 24;
/** Of a duration histogram in ns; its bounds are powers of two seconds. */
const NS_PER_S = 1e9;
/** Body sizes: 8 buckets for each doubling, 4.4 %. */
const SIZE_SCALE = 3;
const VERSION = 1;
/** With gRPC calls at its end. */
const VERSION_GRPC = 2;

export class SeriesState {
  readonly counters = new Float64Array(COUNTERS.length);
  /** Response time t3 - t0 by the calls in flight at arrival (LoadBuckets; 0: not known); null: none. */
  readonly latency: (ExponentialHistogram | null)[] = new Array(LOAD_BUCKETS).fill(null);
  readonly ttfb: ExponentialHistogram;
  readonly upload: ExponentialHistogram;
  readonly think: ExponentialHistogram;
  readonly download: ExponentialHistogram;
  readonly requestBody: ExponentialHistogram;
  readonly responseBody: ExponentialHistogram;
  /** First error by class. */
  readonly firstErrors: (FirstError | null)[] = new Array(ERROR_CLASSES.length).fill(null);
  /** Only in the row of a service: ns spent at each concurrency, and times the calls in flight; null until there are any. */
  residence: Float64Array | null = null;
  area: Float64Array | null = null;
  /** null: there were no gRPC calls. */
  grpc: GrpcCalls | null = null;
  #statuses = new Uint16Array(STATUSES_FIRST);
  #statusCounts = new Float64Array(STATUSES_FIRST);
  #statusesUsed = 0;
  readonly #memory: HistogramMemory | null;

  constructor(memory: HistogramMemory | null = null) {
    this.#memory = memory;
    this.ttfb = new ExponentialHistogram(NS_PER_S, memory);
    this.upload = new ExponentialHistogram(NS_PER_S, memory);
    this.think = new ExponentialHistogram(NS_PER_S, memory);
    this.download = new ExponentialHistogram(NS_PER_S, memory);
    this.requestBody = new ExponentialHistogram(1, memory, SIZE_SCALE);
    this.responseBody = new ExponentialHistogram(1, memory, SIZE_SCALE);
  }

  get calls(): number {
    return this.counters[0]!;
  }

  /** Nothing was counted. A service's row may hold times at a concurrency and no call. */
  get empty(): boolean {
    return this.calls === 0 && this.residence === null;
  }

  get(counter: Counter): number {
    return this.counters[COUNTER[counter]]!;
  }

  /**
   * Response times of calls that arrived in this bucket. When memory is short, what would need a new histogram goes to bucket 0:
   * its time is kept, its load is not known.
   */
  latencyAt(bucket: number): ExponentialHistogram {
    let histogram = this.latency[bucket]!;
    if (histogram === null) {
      const memory = this.#memory;
      if (bucket !== 0 && memory !== null && memory.bytes >= memory.bytesMax) {
        memory.coarsened++;
        return this.latencyAt(0);
      }
      histogram = new ExponentialHistogram(NS_PER_S, this.#memory);
      this.latency[bucket] = histogram;
    }
    return histogram;
  }

  /** Response times at any load: a new histogram. */
  responseTime(): ExponentialHistogram {
    const all = new ExponentialHistogram(NS_PER_S);
    for (const part of this.latency) if (part !== null && part.count > 0) all.merge(part);
    return all;
  }

  /** A code outside of 100 to 999 counts as 0. */
  countStatus(status: number, calls = 1): void {
    const code = status >= STATUS_MIN && status < STATUS_END ? status : 0;
    const used = this.#statusesUsed;
    let i = 0;
    while (i < used && this.#statuses[i] !== code) i++;
    if (i === used) this.#addCode(code);
    this.#statusCounts[i]! += calls;
  }

  #addCode(code: number): void {
    const used = this.#statusesUsed++;
    if (used === this.#statuses.length) {
      const codes = new Uint16Array(used * 2);
      const counts = new Float64Array(used * 2);
      codes.set(this.#statuses);
      counts.set(this.#statusCounts);
      this.#statuses = codes;
      this.#statusCounts = counts;
    }
    this.#statuses[used] = code;
    this.#statusCounts[used] = 0;
  }

  /** Calls by status code, ascending; code 0: those whose code is not told apart. */
  statuses(): (readonly [code: number, calls: number])[] {
    const all: [number, number][] = [];
    for (let i = 0; i < this.#statusesUsed; i++) all.push([this.#statuses[i]!, this.#statusCounts[i]!]);
    return all.filter(([, calls]) => calls !== 0).sort((a, b) => a[0] - b[0]);
  }

  /** Adds the calls by status code to `into`, which has STATUS_END places. */
  addStatuses(into: Float64Array): void {
    for (let i = 0; i < this.#statusesUsed; i++) into[this.#statuses[i]!]! += this.#statusCounts[i]!;
  }

  /** Adds `other`, which stays as it is. */
  merge(other: SeriesState): void {
    this.mergeLoad(other);
    this.ttfb.merge(other.ttfb);
    this.upload.merge(other.upload);
    this.think.merge(other.think);
    this.download.merge(other.download);
    this.requestBody.merge(other.requestBody);
    this.responseBody.merge(other.responseBody);
    for (let c = 0; c < ERROR_CLASSES.length; c++) this.firstError(c, other.firstErrors[c]!);
    for (let i = 0; i < other.#statusesUsed; i++) this.countStatus(other.#statuses[i]!, other.#statusCounts[i]!);
    if (other.grpc !== null) this.grpcCalls().merge(other.grpc);
  }

  /** Those of the state, to be added to. */
  grpcCalls(): GrpcCalls {
    this.grpc ??= new GrpcCalls();
    return this.grpc;
  }

  /** Adds only what a service's load is made of: counters, response times by load, time at each concurrency. */
  mergeLoad(other: SeriesState): void {
    for (let i = 0; i < COUNTERS.length; i++) this.counters[i]! += other.counters[i]!;
    for (let b = 0; b < LOAD_BUCKETS; b++) {
      const part = other.latency[b]!;
      if (part !== null && part.count > 0) this.latencyAt(b).merge(part);
    }
    if (other.residence === null || other.area === null) return;
    this.residence ??= new Float64Array(LOAD_BUCKETS);
    this.area ??= new Float64Array(LOAD_BUCKETS);
    for (let b = 0; b < LOAD_BUCKETS; b++) {
      this.residence[b]! += other.residence[b]!;
      this.area[b]! += other.area[b]!;
    }
  }

  /** Takes away what `part`, all of which this state holds too, counted: exact. First errors stay. */
  subtract(part: SeriesState): void {
    for (let i = 0; i < COUNTERS.length; i++) this.counters[i]! -= part.counters[i]!;
    for (let b = 0; b < LOAD_BUCKETS; b++) {
      const histogram = part.latency[b]!;
      if (histogram !== null && histogram.count > 0) this.latency[b]!.subtract(histogram);
    }
    const own = this.#histograms();
    for (const [i, histogram] of part.#histograms().entries()) own[i]!.subtract(histogram);
    for (const [code, calls] of part.statuses()) this.countStatus(code, -calls);
    if (part.grpc !== null) this.grpcCalls().subtract(part.grpc);
  }

  /** Keeps `error` if it is the first of its class. */
  firstError(errorClass: number, error: FirstError | null): void {
    this.firstErrors[errorClass] = earlier(this.firstErrors[errorClass]!, error);
  }

  /** Empty again; histograms keep their memory. */
  clear(): void {
    this.counters.fill(0);
    for (const part of this.latency) part?.clear();
    for (const histogram of this.#histograms()) histogram.clear();
    this.firstErrors.fill(null);
    this.residence = null;
    this.area = null;
    this.grpc = null;
    this.#statusesUsed = 0;
  }

  /** Gives the histograms' memory back: to be called before the state is dropped, because it is counted. */
  release(): void {
    for (let b = 0; b < LOAD_BUCKETS; b++) {
      this.latency[b]?.release();
      this.latency[b] = null;
    }
    for (const histogram of this.#histograms()) histogram.release();
    this.clear();
  }

  encode(out: ByteWriter): void {
    out.byte(this.grpc === null ? VERSION : VERSION_GRPC);
    out.varint(COUNTERS.length);
    for (const count of this.counters) out.varint(count);
    for (const histogram of this.#histograms()) histogram.encode(out);
    const loads = this.latency.filter((part) => part !== null && part.count > 0).length;
    out.varint(loads);
    for (let b = 0; b < LOAD_BUCKETS; b++) {
      const part = this.latency[b]!;
      if (part === null || part.count === 0) continue;
      out.varint(b);
      part.encode(out);
    }
    const errors = this.firstErrors.filter((error) => error !== null).length;
    out.varint(errors);
    for (let c = 0; c < ERROR_CLASSES.length; c++) {
      const error = this.firstErrors[c]!;
      if (error === null) continue;
      out.varint(c);
      encodeFirst(error, out);
    }
    const statuses = this.statuses();
    out.varint(statuses.length);
    for (const [code, calls] of statuses) {
      out.varint(code);
      out.varint(calls);
    }
    const { residence, area } = this;
    const times = residence === null ? [] : Array.from(residence.keys()).filter((b) => residence[b]! > 0);
    out.varint(times.length);
    for (const b of times) {
      out.varint(b);
      out.float64(residence![b]!);
      out.float64(area![b]!);
    }
    this.grpc?.encode(out);
  }

  /** Replaces what it holds. A reason when the bytes are none of ours; it is empty then. */
  decode(bytes: Uint8Array): DecodeProblem | null {
    this.clear();
    const from = new ByteReader(bytes);
    const version = from.byte();
    if (!from.ok) return 'truncated';
    if (version !== VERSION && version !== VERSION_GRPC) return 'version';
    this.#decode(from);
    if (version === VERSION_GRPC && from.ok) this.grpc = GrpcCalls.decode(from);
    if (from.ok && from.left === 0) return null;
    this.clear();
    return 'corrupt';
  }

  #decode(from: ByteReader): void {
    const counters = from.varint();
    if (counters > COUNTERS.length) from.fail();
    for (let i = 0; i < counters && from.ok; i++) this.counters[i] = from.varint();
    for (const histogram of this.#histograms()) if (!histogram.decode(from)) return;
    const loads = from.varint();
    for (let n = 0, last = -1; n < loads && from.ok; n++) {
      const bucket = from.varint();
      if (bucket <= last || bucket >= LOAD_BUCKETS || !from.ok) {
        from.fail();
        return;
      }
      last = bucket;
      if (!this.latencyAt(bucket).decode(from)) return;
    }
    const errors = from.varint();
    for (let n = 0; n < errors && from.ok; n++) {
      const errorClass = from.varint();
      const first = decodeFirst(from);
      if (errorClass >= ERROR_CLASSES.length) from.fail();
      else if (from.ok) this.firstError(errorClass, first);
    }
    const statuses = from.varint();
    for (let n = 0; n < statuses && from.ok; n++) {
      const code = from.varint();
      const calls = from.varint();
      if (code >= STATUS_END) from.fail();
      else if (from.ok) this.countStatus(code, calls);
    }
    this.#decodeTimes(from);
  }

  #decodeTimes(from: ByteReader): void {
    const times = from.varint();
    if (times > LOAD_BUCKETS) from.fail();
    for (let n = 0; n < times && from.ok; n++) {
      const bucket = from.varint();
      const residence = from.float64();
      const area = from.float64();
      const good = bucket < LOAD_BUCKETS && residence >= 0 && residence < Infinity && area >= 0 && area < Infinity;
      if (!good) from.fail();
      if (!from.ok) return;
      this.residence ??= new Float64Array(LOAD_BUCKETS);
      this.area ??= new Float64Array(LOAD_BUCKETS);
      this.residence[bucket]! += residence;
      this.area[bucket]! += area;
    }
  }

  #histograms(): readonly ExponentialHistogram[] {
    return [this.ttfb, this.upload, this.think, this.download, this.requestBody, this.responseBody];
  }
}

/** Why bytes are no state of ours: too short, written by a newer version, or anything else. */
export type DecodeProblem = 'truncated' | 'version' | 'corrupt';

const writer = new ByteWriter();
const scratch = new SeriesState();

/** A state as bytes, to be kept: about 150 B for a quiet minute. */
export function encodeSeries(state: SeriesState): Uint8Array {
  writer.clear();
  state.encode(writer);
  return writer.take();
}

/** Calls and failed calls of an encoded state, without the rest of it; 0 when its bytes cannot be read. */
export function countsOf(bytes: Uint8Array): { readonly calls: number; readonly errors: number } {
  const from = new ByteReader(bytes);
  const version = from.byte();
  const isOurs = version === VERSION || version === VERSION_GRPC;
  const counters = from.varint();
  const calls = counters > COUNTER.calls ? from.varint() : 0;
  const errors = counters > COUNTER.errors ? from.varint() : 0;
  return isOurs && from.ok ? { calls, errors } : { calls: 0, errors: 0 };
}

/** Adds an encoded state to `into`. null, or why the bytes cannot be read; `into` is as before then. Never throws. */
export function mergeSeries(into: SeriesState, bytes: Uint8Array): DecodeProblem | null {
  const problem = scratch.decode(bytes);
  if (problem === null) into.merge(scratch);
  return problem;
}
