import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { LOAD_BUCKETS } from '../model/load.ts';
import { earlier } from './first-error.ts';
import { COUNTERS, encodeSeries, mergeSeries, SeriesState } from './series.ts';

interface Sample {
  counter: number;
  ns: number;
  bucket: number;
  status: number;
  error: number;
  at: number;
  /** null: not gRPC. */
  grpc: { status: number | null } | null;
}
const sample: fc.Arbitrary<Sample> = fc.record({
  counter: fc.nat(COUNTERS.length - 1),
  ns: fc.nat(1e12),
  bucket: fc.nat(LOAD_BUCKETS - 1),
  status: fc.constantFrom(200, 201, 204, 301, 404, 429, 500, 503),
  error: fc.nat(12),
  at: fc.nat(1e6),
  grpc: fc.option(fc.record({ status: fc.option(fc.nat(40)) })),
});
const samples = fc.array(sample, { maxLength: 40 });

function stateOf(list: readonly Sample[]): SeriesState {
  const state = new SeriesState();
  for (const { counter, ns, bucket, status, error, at, grpc } of list) {
    state.counters[counter]!++;
    state.latencyAt(bucket).record(ns);
    state.ttfb.record(Math.floor(ns / 2));
    state.responseBody.record(ns % 10_000);
    state.countStatus(status);
    state.firstError(error, { at, example: `r-${ns}` });
    if (grpc !== null && state.grpcCalls().count(grpc.status))
      state.grpcCalls().first = earlier(state.grpcCalls().first, { at, example: `g-${ns}` });
    state.residence ??= new Float64Array(LOAD_BUCKETS);
    state.area ??= new Float64Array(LOAD_BUCKETS);
    state.residence[bucket]! += ns;
    state.area[bucket]! += ns * 2;
  }
  return state;
}
/** Two states are the same when their bytes are. */
const same = (a: SeriesState, b: SeriesState): void => expect(encodeSeries(a)).toEqual(encodeSeries(b));

describe('states of a series', () => {
  test('merge like what they were made from, in any order', () => {
    fc.assert(
      fc.property(samples, samples, samples, (a, b, c) => {
        const all = stateOf([...a, ...b, ...c]);
        const left = stateOf(a);
        left.merge(stateOf(b));
        left.merge(stateOf(c));
        const right = stateOf(c);
        right.merge(stateOf(a));
        right.merge(stateOf(b));
        same(left, all);
        same(right, all);
      }),
    );
  });

  test('come back from bytes as they were, and are empty after clear', () => {
    fc.assert(
      fc.property(samples, samples, (a, b) => {
        const copy = stateOf(b);
        expect(copy.decode(encodeSeries(stateOf(a)))).toBeNull();
        same(copy, stateOf(a));
        const merged = stateOf(b);
        expect(mergeSeries(merged, encodeSeries(stateOf(a)))).toBeNull();
        same(merged, stateOf([...b, ...a]));
        merged.clear();
        same(merged, new SeriesState());
      }),
    );
  });

  test('with gRPC calls: by status, what has no name and what was not seen apart; taken away again', () => {
    const [state, part] = [new SeriesState(), new SeriesState()];
    for (const status of [0, 0, 14, 17, 255, null]) state.grpcCalls().count(status);
    for (const status of [0, 14]) part.grpcCalls().count(status);
    expect([...state.grpc!.statuses()]).toEqual([
      ['OK', 2],
      ['UNAVAILABLE', 1],
      ['other', 2],
      ['none', 1],
    ]);
    expect([state.grpc!.answered, state.grpc!.failed]).toEqual([5, 3]);
    state.subtract(part);
    expect([state.grpc!.answered, state.grpc!.failed]).toEqual([3, 2]);
  });

  test('of a quiet minute take little room', () => {
    const state = new SeriesState();
    state.counters[0] = 3;
    for (const ns of [1e6, 2e6, 3e6]) {
      state.latencyAt(1).record(ns);
      state.ttfb.record(ns);
    }
    expect(encodeSeries(state).length).toBeLessThan(150);
  });

  test('hold every status code there is, in any order of merging, and no more', () => {
    const [state, back] = [new SeriesState(), new SeriesState()];
    for (let code = 0; code < 1_100; code++) state.countStatus(code);
    for (let code = 1_099; code >= 0; code--) mergeSeries(back, encodeSeries(single(code)));
    expect(back.statuses()).toEqual(state.statuses());
    expect(state.statuses()).toHaveLength(901);
    expect(state.statuses()[0]).toEqual([0, 200]);
  });
});

const single = (code: number): SeriesState => {
  const state = new SeriesState();
  state.countStatus(code);
  return state;
};

describe('hostile bytes', () => {
  test('give a reason, never a crash, and change nothing', () => {
    fc.assert(
      fc.property(
        samples,
        samples,
        fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        fc.nat(),
        (a, b, edits, cut) => {
          let bytes = encodeSeries(stateOf(a));
          for (const [at, value] of edits) bytes[at % bytes.length] = value;
          if (cut % 3 === 0) bytes = bytes.subarray(0, cut % (bytes.length + 1));
          const into = stateOf(b);
          const before = encodeSeries(into);
          if (mergeSeries(into, bytes) !== null) expect(encodeSeries(into)).toEqual(before);
          else expect(mergeSeries(new SeriesState(), encodeSeries(into))).toBeNull();
        },
      ),
      { numRuns: 3_000 },
    );
  });

  test('of every kind', () => {
    const into = new SeriesState();
    expect(mergeSeries(into, new Uint8Array())).toBe('truncated');
    expect(mergeSeries(into, Uint8Array.of(3, 0, 0))).toBe('version');
    expect(mergeSeries(into, Uint8Array.of(1))).toBe('corrupt');
    fc.assert(
      fc.property(fc.constantFrom(1, 2), fc.uint8Array({ maxLength: 300 }), (version, noise) => {
        mergeSeries(into, Uint8Array.of(version, ...noise));
      }),
    );
    for (const grpc of [null, { status: 5 }]) {
      const whole = encodeSeries(stateOf([{ counter: 0, ns: 5, bucket: 1, status: 200, error: 0, at: 1, grpc }]));
      expect(mergeSeries(into, Uint8Array.of(...whole, 0))).toBe('corrupt');
      for (let n = 0; n < whole.length; n++) expect(mergeSeries(into, whole.subarray(0, n))).not.toBeNull();
    }
  });
});
