/** What every scraper reads: the text by a strict reader, the protobuf by its schema, both against the histograms themselves. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { bucketsOf } from '../../../test/fixtures/buckets.ts';
import { decodeFamilies, labelsOf, nativeBuckets, type ProtoFamily } from '../../../test/fixtures/client-model.ts';
import { type Family, parseOpenMetrics } from '../../../test/fixtures/openmetrics.ts';
import { sampleStatus } from '../../../test/fixtures/samples.ts';
import { ExponentialHistogram } from '../../stats/sketch/histogram.ts';
import { AGENT_CATALOGUE, writeAgent } from './agent.ts';
import { CATALOGUE } from './catalogue.ts';
import { type Exemplar, type Exposition, Labels, type MetricFamily } from './family.ts';
import { ProtobufExposition } from './protobuf.ts';
import { TextExposition } from './text.ts';

const CREATED_MS = 1_795_363_440_250;
const NATIVE_BUCKETS_MAX = 160;

const SECONDS: MetricFamily = {
  name: 'a_duration_seconds',
  type: 'histogram',
  unit: 'seconds',
  help: 'A duration.',
  labels: ['who'],
  bounds: [0.005, 0.5, 1, 10],
};
const COUNTER: MetricFamily = { name: 'a', type: 'counter', unit: '', help: 'A.', labels: ['who'] };

type Write = (out: Exposition) => void;
const textOf = (write: Write, createdMs: number | null = CREATED_MS): string => {
  const out = new TextExposition(createdMs);
  write(out);
  return [...out.finish()].join('');
};
const families = (write: Write): Map<string, Family> => parseOpenMetrics(textOf(write));
const proto = (write: Write): ProtoFamily[] => {
  const out = new ProtobufExposition(CREATED_MS);
  write(out);
  return decodeFamilies(Buffer.concat([...out.finish()]));
};
const histogramOf = (values: readonly number[], unit = 1e9): ExponentialHistogram => {
  const histogram = new ExponentialHistogram(unit);
  for (const value of values) histogram.record(value);
  return histogram;
};
const one =
  (histogram: ExponentialHistogram, exemplar: Exemplar | null = null): Write =>
  (out) =>
    out.family(SECONDS).histogram(new Labels(['who'], ['x']), [histogram], exemplar);

/** Nanoseconds of every magnitude, and 0. */
const durations = fc.array(
  fc.oneof(
    fc.constant(0),
    fc.nat(100),
    fc.double({ min: 0, max: 43, noNaN: true }).map((power) => Math.round(2 ** power)),
  ),
  { maxLength: 300 },
);

describe('the text', () => {
  test('of the agent itself is well-formed, and holds each family once', () => {
    const parsed = families((out) => writeAgent(sampleStatus(), out));
    expect([...parsed.keys()]).toEqual(AGENT_CATALOGUE.map(({ name }) => name));
  });

  test.each(['OpenMetrics', 'protobuf'])('label values of any text arrive as they were: %s', (format) => {
    const hostile = fc.array(fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[\\"\n{},=# ]{1,20}$/)), {
      minLength: 1,
      maxLength: 3,
    });
    fc.assert(
      fc.property(hostile, (values) => {
        const names = values.map((_, i) => `l${i}`);
        const write: Write = (out) => out.family(COUNTER).sample(new Labels(names, values), 3);
        const back =
          format === 'protobuf' ? labelsOf(proto(write)[0]!.metric[0]!) : families(write).get('a')!.samples[0]!.labels;
        expect(Object.values(back)).toEqual(values);
      }),
    );
  });

  test('a histogram of any values: well-formed, its count and sum exact, cumulated counts within one bucket of the truth', () => {
    fc.assert(
      fc.property(durations, (values) => {
        const { samples } = families(one(histogramOf(values))).get('a_duration_seconds')!;
        const get = (name: string, le?: string): number | undefined =>
          samples.find((s) => s.name === `a_duration_seconds${name}` && s.labels['le'] === le)?.value;
        expect(get('_count')).toBe(values.length);
        expect(get('_sum')).toBe(values.reduce((a, b) => a + b, 0) / 1e9);
        expect(get('_created')).toBe(CREATED_MS / 1000);
        const width = 2 ** (2 ** -histogramOf(values).scale);
        for (const le of SECONDS.bounds!) {
          const below = get('_bucket', Number.isInteger(le) ? `${le}.0` : `${le}`)!;
          expect(below).toBeLessThanOrEqual(values.filter((ns) => ns <= le * 1e9).length);
          expect(below).toBeGreaterThanOrEqual(values.filter((ns) => ns <= (le * 1e9) / width).length);
        }
      }),
    );
  });

  test('an exemplar stands at the bucket that it is in, with the id of its call', () => {
    const exemplar = { call: 'r-1-"2"', value: 0.7, at: CREATED_MS + 500 };
    const { samples } = families(one(histogramOf([7e8]), exemplar)).get('a_duration_seconds')!;
    const shown = samples.filter((s) => s.exemplar !== null);
    expect(shown).toEqual([
      expect.objectContaining({
        labels: { who: 'x', le: '1.0' },
        exemplar: { labels: { call_id: 'r-1-"2"' }, value: 0.7, at: (CREATED_MS + 500) / 1000 },
      }),
    ]);
    const beyond = families(one(histogramOf([9e10]), { ...exemplar, value: 90 })).get('a_duration_seconds')!.samples;
    expect(beyond.find((s) => s.exemplar !== null)!.labels['le']).toBe('+Inf');
    const counter = families((out) => out.family(COUNTER).sample(new Labels(['who'], ['x']), 5, exemplar)).get('a')!;
    expect(counter.samples.map(({ name, value, exemplar: at }) => [name, value, at?.labels['call_id']])).toEqual([
      ['a_total', 5, 'r-1-"2"'],
      ['a_created', CREATED_MS / 1000, undefined],
    ]);
  });

  test('the older format has the same samples, and nothing that it does not know', () => {
    const write: Write = (out) => {
      writeAgent(sampleStatus(), out);
      one(histogramOf([7e8]), { call: 'r-1-2', value: 0.7, at: CREATED_MS })(out);
    };
    const [text, older] = [textOf(write), textOf(write, null)];
    expect(older).not.toMatch(/# EOF|# UNIT|_created|call_id| info$/m);
    expect(older).toContain('# HELP headwater_exchanges_total Calls emitted');
    expect(older).toContain('# TYPE headwater_exchanges_total counter\n');
    expect(older).toContain('# TYPE headwater_build_info gauge\n');
    const samples = (all: string): string[] =>
      all.split('\n').flatMap((line) => (/^#|_created/.test(line) ? [] : [line.replace(/ # .*/, '')]));
    expect(samples(older)).toEqual(samples(text));
  });
});

describe('the protobuf', () => {
  test('has the families, types, counts and sums of the text', () => {
    fc.assert(
      fc.property(durations, (values) => {
        const write: Write = (out) => {
          writeAgent(sampleStatus(), out);
          one(histogramOf(values))(out);
        };
        const text = families(write);
        const decoded = proto(write);
        expect(decoded).toHaveLength(text.size);
        for (const [i, family] of [...text.values()].entries()) {
          const { name, type = 'COUNTER', help, metric } = decoded[i]!;
          const suffix = { counter: '_total', info: '_info' }[family.type] ?? '';
          expect(name).toBe(family.name + suffix);
          expect(type).toBe({ counter: 'COUNTER', gauge: 'GAUGE', info: 'GAUGE', histogram: 'HISTOGRAM' }[family.type]);
          expect(help).toBe(family.help);
          if (family.type === 'histogram') continue;
          const plain = family.samples.filter((s) => s.name === name);
          expect(metric.map((m) => [labelsOf(m), (m.counter ?? m.gauge)!.value])).toEqual(
            plain.map(({ labels, value }) => [labels, value]),
          );
        }
        const { histogram } = decoded.at(-1)!.metric[0]!;
        const { samples } = text.get('a_duration_seconds')!;
        const of = (suffix: string) => samples.filter((s) => s.name === `a_duration_seconds${suffix}`);
        expect(histogram!.sample_count ?? 0).toBe(of('_count')[0]!.value);
        expect(histogram!.sample_sum).toBe(of('_sum')[0]!.value);
        expect(histogram!.bucket.map((b) => [b.upper_bound, b.cumulative_count ?? 0])).toEqual(
          of('_bucket').map(({ labels, value }) => [Number(labels['le']!.replace('+Inf', 'Infinity')), value]),
        );
      }),
      { numRuns: 30 },
    );
  });

  test('native buckets are those of the histogram, at a coarser scale when there are more than 160', () => {
    let coarse = 0;
    fc.assert(
      fc.property(durations, (values) => {
        const histogram = histogramOf(values);
        const native = proto(one(histogram))[0]!.metric[0]!.histogram!;
        const truth = histogramOf(values);
        while (bucketsOf(truth).counts.length > NATIVE_BUCKETS_MAX) truth.downscale(truth.scale - 1);
        if (truth.scale < histogram.scale) coarse++;
        expect(native.schema).toBe(truth.scale);
        expect(native.zero_count ?? 0).toBe(values.filter((ns) => ns === 0).length);
        const { offset, counts } = bucketsOf(truth);
        const expected = new Map<number, number>();
        for (const [i, count] of counts.entries()) if (count > 0) expected.set(offset + i + 1, count);
        const buckets = nativeBuckets(native);
        for (const [index, count] of buckets) expect(count).toBe(expected.get(index) ?? 0);
        for (const index of expected.keys()) expect(buckets.has(index)).toBe(true);
        // By what the index means: the upper bound is 2^(index / 2^schema) seconds.
        for (const ns of new Set(values.filter((value) => value > 0)))
          expect([...buckets].some(([index, n]) => n > 0 && within(ns / 1e9, index, native.schema!))).toBe(true);
      }),
    );
    expect(coarse).toBeGreaterThan(10);
  });

  test('a histogram without values is native all the same', () => {
    const native = proto(one(histogramOf([])))[0]!.metric[0]!.histogram!;
    expect(native).toMatchObject({ schema: 6, positive_span: [{ offset: 0 }] });
    expect(nativeBuckets(native).size).toBe(0);
  });

  test('exemplars and creation times', () => {
    const exemplar = { call: 'r-1-2', value: 0.7, at: CREATED_MS + 500 };
    const decoded = proto((out) => {
      one(histogramOf([7e8]), exemplar)(out);
      out.family(COUNTER).sample(new Labels(['who'], ['x']), 5, exemplar);
    });
    const shown = {
      label: [{ name: 'call_id', value: 'r-1-2' }],
      value: 0.7,
      timestamp: { seconds: Math.floor(exemplar.at / 1000), nanos: 750_000_000 },
    };
    const created = { seconds: Math.floor(CREATED_MS / 1000), nanos: 250_000_000 };
    const { histogram } = decoded[0]!.metric[0]!;
    expect(histogram!.bucket.map((bucket) => bucket.exemplar)).toEqual([
      undefined,
      undefined,
      shown,
      undefined,
      undefined,
    ]);
    expect(histogram!.created_timestamp).toEqual(created);
    expect(decoded[1]!.metric[0]!.counter).toEqual({ value: 5, exemplar: shown, created_timestamp: created });
  });

  test('large counts', () => {
    const histogram = histogramOf([5e8]);
    for (let i = 0; i < 45; i++) {
      const copy = new ExponentialHistogram(1e9);
      copy.merge(histogram);
      histogram.merge(copy);
    }
    const native = proto(one(histogram))[0]!.metric[0]!.histogram!;
    expect(native.sample_count).toBe(2 ** 45);
    expect([...nativeBuckets(native).values()]).toEqual([2 ** 45]);
    const { samples } = families(one(histogram)).get('a_duration_seconds')!;
    expect(samples.find(({ labels }) => labels['le'] === '0.5')!.value).toBe(2 ** 45);
    expect(samples.find(({ name }) => name.endsWith('_count'))!.value).toBe(2 ** 45);
  });
});

const within = (value: number, index: number, schema: number): boolean => {
  const exact = Math.log2(value) * 2 ** schema;
  return exact <= index + 1e-6 && exact > index - 1 - 1e-6;
};

test('the catalogue: base units end the names, labels and help are there, nothing is named twice', () => {
  const all = [...AGENT_CATALOGUE, ...CATALOGUE];
  expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  for (const { name, type, unit, help, labels, bounds } of all) {
    expect(name).toMatch(/^(headwater|http_(server|client))_[a-z0-9_]+$/);
    expect(name).not.toMatch(/_(total|info|bucket|count|sum|created)$/);
    if (unit !== '') expect(name.endsWith(`_${unit}`)).toBe(true);
    expect(help).toMatch(/^[^"\\\n]+\.$/);
    for (const label of labels) expect(label).toMatch(/^(?!le$|quantile$|__)[a-z_]+$/);
    expect(bounds !== undefined).toBe(type === 'histogram');
    expect([...(bounds ?? [])]).toEqual([...(bounds ?? [])].sort((a, b) => a - b));
  }
});
