import { describe, expect, test } from 'vitest';
import { LoadCounter } from '../../src/model/load.ts';
import { fitUsl, type LoadPoint } from '../../src/stats/load-curve.ts';
import { buildReport, type LoadReport, type RouteReport } from '../../src/stats/report.ts';
import { Dice, queue, StatsRig } from './stats-rig.ts';

const rowOf = (rig: StatsRig, seconds: number): RouteReport => {
  const { routes } = buildReport({ rows: rig.engine.states(), sinceMs: 0, untilMs: seconds * 1_000, losses: [] });
  expect(routes).toHaveLength(1);
  return routes[0]!;
};
const bucket = (load: LoadReport, inFlight: number): LoadReport['buckets'][number] =>
  load.buckets.find(({ in_flight }) => in_flight === inFlight)!;
const near = (value: number | null, truth: number, share: number): void => {
  expect(value).not.toBeNull();
  expect(Math.abs(value! / truth - 1), `${value} is not ${truth}`).toBeLessThan(share);
};

describe('queues with known answers', () => {
  test('M/M/1: response time, throughput of each load, Little', () => {
    const rig = new StatsRig();
    const [lambda, mu] = [700, 1_000];
    const row = rowOf(
      rig,
      queue(rig, new Dice(1), { calls: 400_000, rate: () => lambda, speed: (n) => (n > 0 ? mu : 0), order: 1 }),
    );
    near(row.rate_per_s, lambda, 0.02);
    // Exponential with mean 1 / (mu - lambda).
    near(row.latency_ns.mean, 1e9 / (mu - lambda), 0.06);
    near(row.latency_ns.p50, (Math.LN2 * 1e9) / (mu - lambda), 0.06);
    near(row.latency_ns.p99, (Math.log(100) * 1e9) / (mu - lambda), 0.08);
    // The server is as fast whatever waits; a call that finds it empty takes one service time.
    for (const n of [1, 2, 3, 4, 6]) near(bucket(row.load, n).throughput_per_s, mu, 0.03);
    near(bucket(row.load, 1).p50_ns, (Math.LN2 * 1e9) / mu, 0.03);
    near(bucket(row.load, 1).p95_ns, (Math.log(20) * 1e9) / mu, 0.03);
    // Two service times: Erlang(2), whose median is 1.67835 of the mean of one.
    near(bucket(row.load, 2).p50_ns, 1.678_35e9 / mu, 0.03);
    expect(row.load.little_error).toBeLessThan(0.001);
    expect(row.load.knee).toMatchObject({ in_flight: 1, at_edge: false });
    expect(row.load.usl).toBeNull();
    expect(row.load.usl_missing).toBe('throughput does not change with the load');
  });

  test('M/M/c: throughput rises to the number of servers, where the knee is', () => {
    const rig = new StatsRig();
    const [lambda, mu, servers] = [3_400, 1_000, 4];
    const row = rowOf(
      rig,
      queue(rig, new Dice(2), {
        calls: 400_000,
        rate: () => lambda,
        speed: (n) => Math.min(n, servers) * mu,
        order: servers,
      }),
    );
    for (const n of [1, 2, 3]) near(bucket(row.load, n).throughput_per_s, n * mu, 0.05);
    for (const n of [4, 6, 8]) near(bucket(row.load, n).throughput_per_s, servers * mu, 0.03);
    expect(row.load.knee!.in_flight).toBe(4);
    near(row.load.knee!.throughput_per_s, servers * mu, 0.03);
    expect(row.load.little_error).toBeLessThan(0.001);
    // Erlang C with a = 3.4: P(wait) 0.7256; N = a + P(wait) a / (c - a).
    const a = lambda / mu;
    const terms = [1, a, a ** 2 / 2, a ** 3 / 6];
    const last = a ** 4 / 24 / (1 - a / servers);
    const wait = last / (terms.reduce((x, y) => x + y) + last);
    near(row.latency_ns.mean, 1e9 / mu + (wait * 1e9) / (servers * mu - lambda), 0.05);
  });

  test('a service that follows the universal scalability law: its parameters come back', () => {
    const rig = new StatsRig();
    const [lambda, sigma, kappa] = [1_000, 0.05, 0.002];
    const speed = (n: number): number => (n === 0 ? 0 : (lambda * n) / (1 + sigma * (n - 1) + kappa * n * (n - 1)));
    // Clients that ask again a millisecond after each answer; their number rises in steps, beyond the peak at 22.
    const clients = (served: number): number => [1, 2, 4, 8, 16, 32, 64][Math.floor(served / 50_000)]!;
    const rate = (served: number, n: number): number => (clients(served) - n) * 1_000;
    const row = rowOf(rig, queue(rig, new Dice(3), { calls: 350_000, rate, speed, order: 'any' }));
    const { usl } = row.load;
    expect(usl).not.toBeNull();
    expect(row.load.usl_missing).toBe('');
    near(usl!.lambda, lambda, 0.03);
    near(usl!.sigma, sigma, 0.15);
    near(usl!.kappa, kappa, 0.15);
    expect(usl!.r2).toBeGreaterThan(0.98);
    for (const n of [1, 2, 3]) near(bucket(row.load, n).throughput_per_s, speed(n), 0.05);
  });
});

describe('a server that answers in bursts', () => {
  /** Up to three of its places are done at once, ten milliseconds after they began; their clients ask again within 0.2 ms. */
  const bursts = (rig: StatsRig, clients: readonly number[], seconds: number): number => {
    const load = new LoadCounter();
    rig.connection.load = load;
    const dice = new Dice(4);
    const inside: { at: number; inFlight: number }[] = [];
    let now = 1e6;
    for (const all of clients) {
      for (const end = now + seconds * 1e9; now < end; ) {
        for (let at = now; inside.length < all; at += 1_000 + dice.below(50_000))
          inside.push({ at, inFlight: load.enter(at) });
        const done = Math.min(inside.length, 1 + dice.below(3));
        // Eight places: as many ends in ten milliseconds.
        now += (10e6 * done) / Math.min(PLACES, inside.length);
        rig.engine.advance(now);
        for (const { at, inFlight } of inside.splice(0, done)) {
          load.leave(now);
          rig.call({ times: [at, at, now, now], inFlight });
        }
      }
    }
    return now / 1e9;
  };
  const PLACES = 8;

  test('has the throughput of the load that it was at, not of the levels that it passes through', () => {
    const rig = new StatsRig();
    const clients = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48];
    const { load } = rowOf(rig, bursts(rig, clients, 20));
    // Little's law is off by the calls that a burst takes away, which weigh the less the more are in flight.
    for (const n of clients.slice(5)) near(bucket(load, n).throughput_per_s, PLACES / 0.01, 0.2);
    expect(load.knee!.in_flight).toBeGreaterThanOrEqual(6);
    expect(load.knee!.in_flight).toBeLessThanOrEqual(12);
    expect(load.usl!.r2).toBeGreaterThan(0.8);
    expect(load.usl!.kappa).toBeLessThan(0.01);
  });

  test('a level that is never held has no throughput', () => {
    const rig = new StatsRig();
    const { load } = rowOf(rig, bursts(rig, [32], 60));
    expect(bucket(load, 24).count).toBeGreaterThan(100);
    expect(bucket(load, 24).throughput_per_s).toBeNull();
    near(bucket(load, 32).throughput_per_s, PLACES / 0.01, 0.06);
    expect(load.usl_missing).toMatch(/^not enough load range/);
    expect(load.knee).toBeNull();
  });
});

test('processor sharing, open: response times have the load that follows in them, and so has the throughput', () => {
  const rig = new StatsRig();
  const [lambda, mu] = [700, 1_000];
  const rate = (): number => lambda;
  const speed = (n: number): number => (n > 0 ? mu : 0);
  const { load } = rowOf(rig, queue(rig, new Dice(5), { calls: 200_000, rate, speed, order: 'any' }));
  // A call that finds n - 1 others takes (n + 1) / (2 mu - lambda) on average.
  for (const n of [1, 2, 3]) near(bucket(load, n).throughput_per_s, (n / (n + 1)) * (2 * mu - lambda), 0.03);
});

describe('what the data cannot carry', () => {
  const point = (n: number, throughputPerS: number | null, count = 1_000): LoadPoint => ({
    inFlight: n,
    count,
    meanNs: 1e6,
    meanInFlight: n,
    held: count,
    throughputPerS,
  });

  test('is said, with the reason', () => {
    const why = (points: LoadPoint[]): unknown => {
      const result = fitUsl(points);
      return result.usl === null ? result.why : result.usl;
    };
    expect(why([])).toBe('no_times');
    expect(why([1, 2, 3, 4, 6].map((n) => point(n, null)))).toBe('no_times');
    expect(why([1, 2, 3, 4].map((n) => point(n, n * 10)))).toBe('few_loads');
    expect(why([1, 2, 3, 4, 6].map((n) => point(n, n * 10, 5)))).toBe('few_loads');
    expect(why([16, 24, 32, 48, 60].map((n) => point(n, n * 10)))).toBe('narrow_range');
    expect(why([1, 2, 3, 4, 6, 8].map((n) => point(n, 100)))).toBe('flat_throughput');
    expect(why([1, 2, 3, 4, 6, 8].map((n) => point(n, 100 + (n % 2), 1_000_000)))).toBe('flat_throughput');
    expect(why([1, 2, 3, 4, 6, 8].map((n) => point(n, n % 3 === 1 ? 100 : 300)))).toBe('other_curve');
    expect(why([1, 2, 3, 4, 6, 8].map((n) => point(n, n * 10)))).toMatchObject({ sigma: 0, kappa: 0, r2: 1 });
  });

  test('exact points of a curve give the curve, also far out', () => {
    for (const [lambda, sigma, kappa] of [
      [995.6, 0.0267, 0.000_769],
      [20, 0.5, 0],
      [5, 0, 0.01],
      [1e5, 0.001, 1e-7],
    ] as const) {
      const points = [1, 2, 4, 8, 32, 128, 1_024, 8_192].map((n) =>
        point(n, (lambda * n) / (1 + sigma * (n - 1) + kappa * n * (n - 1))),
      );
      const { usl } = fitUsl(points);
      near(usl!.lambda, lambda, 1e-6);
      expect(usl!.sigma).toBeCloseTo(sigma, 8);
      expect(usl!.kappa).toBeCloseTo(kappa, 8);
      near(usl!.r2, 1, 1e-9);
    }
  });

  test('without the time at each concurrency there is no throughput, and no guess', () => {
    const rig = new StatsRig();
    for (let i = 0; i < 100; i++) rig.call({ inFlight: 1 + (i % 8) });
    const { load } = rowOf(rig, 1);
    expect(load.buckets.map(({ in_flight, throughput_per_s }) => [in_flight, throughput_per_s])).toEqual(
      [1, 2, 3, 4, 6, 8].map((n) => [n, null]),
    );
    expect(load.knee).toBeNull();
    expect(load.little_error).toBeNull();
  });
});
