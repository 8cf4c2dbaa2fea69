/**
 * States of one series read as their sum: since the start a series has a total and the states of the minutes that are open. Counters
 * are added; histograms stay apart, for readers that walk over each of them (sketch/histogram-sum.ts). Made to be used for one series
 * after the other.
 */
import { GrpcCalls } from './grpc-calls.ts';
import { COUNTER, COUNTERS, type Counter, type Phase, type SeriesState, STATUS_END } from './series.ts';
import type { ExponentialHistogram } from './sketch/histogram.ts';
import type { Histograms } from './sketch/histogram-sum.ts';

export class SeriesSum {
  readonly parts: SeriesState[] = [];
  readonly #counters = new Float64Array(COUNTERS.length);
  readonly #statuses = new Float64Array(STATUS_END);
  readonly #histograms: ExponentialHistogram[] = [];

  /** Begins with the first of another series. */
  clear(): this {
    this.parts.length = 0;
    this.#counters.fill(0);
    this.#statuses.fill(0);
    return this;
  }

  add(part: SeriesState): this {
    this.parts.push(part);
    for (let i = 0; i < COUNTERS.length; i++) this.#counters[i]! += part.counters[i]!;
    part.addStatuses(this.#statuses);
    return this;
  }

  get calls(): number {
    return this.get('calls');
  }

  get(counter: Counter): number {
    return this.#counters[COUNTER[counter]]!;
  }

  /** Calls by status code; 0: those whose code is not told apart. */
  get statuses(): Float64Array {
    return this.#statuses;
  }

  /** null: there were no gRPC calls. */
  get grpc(): GrpcCalls | null {
    let all: GrpcCalls | null = null;
    for (const { grpc } of this.parts)
      if (grpc !== null) {
        all ??= new GrpcCalls();
        all.merge(grpc);
      }
    return all;
  }

  /** Response times, at any load; until the next question for histograms. */
  responseTimes(): Histograms {
    const found = this.#histograms;
    found.length = 0;
    for (let i = 0; i < this.parts.length; i++) {
      const { latency } = this.parts[i]!;
      for (let b = 0; b < latency.length; b++) {
        const histogram = latency[b]!;
        if (histogram !== null && histogram.count > 0) found.push(histogram);
      }
    }
    return found;
  }

  /** Response times of calls that arrived at this load; until the next question for histograms. */
  latencyAt(bucket: number): Histograms {
    const found = this.#histograms;
    found.length = 0;
    for (let i = 0; i < this.parts.length; i++) {
      const histogram = this.parts[i]!.latency[bucket]!;
      if (histogram !== null && histogram.count > 0) found.push(histogram);
    }
    return found;
  }

  /** Time that a service spent at this load, ns. */
  residenceAt(bucket: number): number {
    let sum = 0;
    for (let i = 0; i < this.parts.length; i++) sum += this.parts[i]!.residence?.[bucket] ?? 0;
    return sum;
  }

  /** Calls in flight integrated over that time, ns. */
  areaAt(bucket: number): number {
    let sum = 0;
    for (let i = 0; i < this.parts.length; i++) sum += this.parts[i]!.area?.[bucket] ?? 0;
    return sum;
  }

  /** Until the next question for histograms. */
  histograms(of: Phase | 'requestBody' | 'responseBody'): Histograms {
    const found = this.#histograms;
    found.length = 0;
    for (let i = 0; i < this.parts.length; i++) found.push(this.parts[i]![of]);
    return found;
  }

  /** Everything, in `into`. */
  mergeInto(into: SeriesState): void {
    for (const part of this.parts) into.merge(part);
  }
}
