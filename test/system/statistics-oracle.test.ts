/** `replay --stats` against plain arithmetic over the header log of the same capture: every number of its report, computed twice. */
import { writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { Report } from '../../src/query/report.ts';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import { Random } from '../fuzz/random.ts';
import { HEADWATER, type LoggedExchange, type LoggedMessage } from '../rig/agent.ts';
import { Folder } from '../rig/folder.ts';
import { must } from '../rig/program.ts';

const START = 1_700_000_000_000_000_000n;
const US = 1_000n;
/** Four standard errors of the 2^12 registers in which a window's many values are kept: their hash has a key of its own in each run. */
const DISTINCT_ERROR_MAX = (4 * 1.04) / Math.sqrt(2 ** 12);
const STATUSES = [200, 200, 200, 200, 201, 304, 401, 404, 418, 429, 500, 503];

function capture(seed: number): Buffer {
  const random = new Random(seed);
  const talks = Array.from({ length: 60 }, (_, i) => {
    const talk = new Talk({
      clientPort: 40_000 + i,
      serverPort: 8_080 + (i % 2),
      ts: START + BigInt(random.below(50_000_000)) * US,
    }).open();
    for (let n = 0; n < 20; n++) {
      const body = 'b'.repeat(random.below(900));
      const status = STATUSES[random.below(STATUSES.length)]!;
      const answer = status === 304 ? '' : 'x'.repeat(random.below(3_000));
      const extra = random.below(3) === 0 ? `X-Tier: t${random.below(5)}\r\n` : '';
      talk
        .client(
          `POST /v1/things HTTP/1.1\r\nHost: a\r\nX-Id: ${seed}-${i}-${n}\r\n${extra}Content-Length: ${body.length}\r\n\r\n${body}`,
        )
        .wait(BigInt(50 + random.below(2_000) ** 2) * US)
        .server(`HTTP/1.1 ${status} S\r\n${status === 304 ? '' : `Content-Length: ${answer.length}\r\n`}\r\n${answer}`)
        .wait(BigInt(random.below(100_000)) * US);
    }
    return talk.close();
  });
  return fileOf(talks.flatMap(({ packets }) => packets).sort((a, b) => (a.ts! < b.ts! ? -1 : a.ts! > b.ts! ? 1 : 0)));
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
const counted = <T>(values: readonly T[]): Map<T, number> => {
  const counts = new Map<T, number>();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
};
const bits = (counts: Map<string, number>): number => {
  const n = total([...counts.values()]);
  return -total([...counts.values()].map((count) => (count / n) * Math.log2(count / n)));
};

test.each([1, 2])('two servers, seed %i', async (seed) => {
  using folder = new Folder();
  const file = folder.file('mixed.pcap');
  writeFileSync(file, capture(seed));
  const lines = (await must([HEADWATER, 'replay', file, '--stats'])).trim().split('\n');
  const parsed = lines.map((line) => JSON.parse(line) as { type: string });
  const calls = parsed.filter(({ type }) => type === 'exchange') as unknown as LoggedExchange[];
  const report = parsed.find(({ type }) => type === 'report') as unknown as Report;
  expect(calls).toHaveLength(1_200);
  expect(report.routes.map(({ service }) => service.replace(/.*:/, '')).sort()).toEqual(['8080', '8081']);
  for (const row of report.routes) {
    const own = calls.filter(({ service }) => service === row.service);
    expect(row.count).toBe(own.length);
    const between = (from: string, to: string): number[] =>
      own.map(({ timing_ns }) => timing_ns[to]! - timing_ns[from]!).sort((a, b) => a - b);
    for (const [name, from, to] of [
      ['latency_ns', 'first_request_byte', 'last_response_byte'],
      ['ttfb_ns', 'first_request_byte', 'first_response_byte'],
      ['think_ns', 'last_request_byte', 'first_response_byte'],
    ] as const) {
      const exact = between(from, to);
      for (const [part, q] of [
        ['p50', 0.5],
        ['p90', 0.9],
        ['p95', 0.95],
        ['p99', 0.99],
        ['p999', 0.999],
      ] as const)
        expect(
          Math.abs(row[name][part]! / exact[Math.ceil(q * exact.length) - 1]! - 1),
          `${name} ${part}`,
        ).toBeLessThan(0.01);
      expect(row[name].max).toBe(exact.at(-1));
      expect(row[name].mean).toBe(Math.round(total(exact) / exact.length));
    }
    const statuses = counted(own.map(({ response }) => response!.status));
    expect(row.statuses).toEqual(Object.fromEntries([...statuses].map(([code, n]) => [`${code}`, n])));
    const apart = [401, 403, 404, 408, 429];
    for (const code of apart) expect(row.errors.classes[`${code}` as '401']).toBe(statuses.get(code) ?? 0);
    const rest = own.filter(({ response: r }) => r!.status >= 400 && r!.status < 500 && !apart.includes(r!.status));
    expect(row.errors.classes['4xx']).toBe(rest.length);
    expect(row.errors.classes['5xx']).toBe(own.filter(({ response }) => response!.status >= 500).length);
    expect(row.errors.total).toBe(own.filter(({ response }) => response!.status >= 400).length);
    expect(row.bytes).toEqual({
      request_header: total(own.map(({ request }) => request.head_bytes)),
      request_body: total(own.map(({ request }) => request.body_bytes)),
      response_header: total(own.map(({ response }) => response!.head_bytes)),
      response_body: total(own.map(({ response }) => response!.body_bytes)),
    });
    const loads = own.map(({ in_flight }) => in_flight);
    for (const [i, { in_flight, count }] of row.load.buckets.entries()) {
      const next = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64].find((floor) => floor > in_flight)!;
      expect(count, `bucket ${i}`).toBe(loads.filter((n) => n >= in_flight && n < next).length);
    }
    expect(total(row.load.buckets.map(({ count }) => count))).toBe(own.length);
    for (const header of row.headers.filter(({ name }) => !name.startsWith(':'))) {
      const messages = own.map(
        (call): LoggedMessage => (header.direction === 'request' ? call.request : call.response!),
      );
      const having = messages.map(({ headers }) => headers.filter(([name]) => name.toLowerCase() === header.name));
      const values = counted(having.flat().map(([, value]) => value));
      expect(header.presence).toBeCloseTo(having.filter((lines) => lines.length > 0).length / own.length, 9);
      expect(Math.abs(header.distinct / values.size - 1), header.name).toBeLessThan(DISTINCT_ERROR_MAX);
      // The rarer ones of many values are taken to be equally frequent.
      const exact = bits(values);
      const most = values.size <= 32 ? 1e-9 : 0.02 * exact;
      expect(Math.abs(header.entropy_bits - exact), header.name).toBeLessThanOrEqual(most);
    }
  }
});
