/** `replay --stats`: the report at the end of a capture, in every format. */
import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Report } from '../../src/query/report.ts';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import { HEADWATER } from '../rig/agent.ts';
import { Folder } from '../rig/folder.ts';
import { type Ended, run } from '../rig/program.ts';
import { validLine } from '../unit/log-schema.ts';
import { validReport } from '../unit/report-schema.ts';

const folder = new Folder();
afterAll(() => folder[Symbol.dispose]());
const headwater = (args: readonly string[]): Promise<Ended> => run([HEADWATER, ...args], { env: { NO_COLOR: '' } });

describe('replay --stats', () => {
  /** Twenty calls on two connections to one server that overlap, five of them 503, over half a second. */
  let capture: string;
  const times: number[] = [];
  /** When the first request began and the last answer had come, as the packets say. */
  const began: bigint[] = [];
  const ended: bigint[] = [];

  beforeAll(() => {
    const talks = [0, 1].map((c) => {
      const talk = new Talk({ clientPort: 40_000 + c, ts: 1_700_000_000_000_000_000n + BigInt(c) * 5_000_000n }).open();
      for (let i = 0; i < 10; i++) {
        const status = i % 4 === 3 ? '503 Service Unavailable' : '200 OK';
        const from = talk.now;
        began.push(from);
        talk
          .client(`GET /v1/users/${i} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk-fake-${'0'.repeat(40)}\r\n\r\n`)
          .wait(BigInt(i + 1) * 4_000_000n);
        times.push(Number(talk.now - from));
        talk.server(`HTTP/1.1 ${status}\r\nContent-Length: 2\r\n\r\nok`);
        ended.push(talk.now);
      }
      return talk.close();
    });
    capture = folder.file('stats.pcap');
    const packets = talks.flatMap((talk) => talk.packets).sort((a, b) => (a.ts! < b.ts! ? -1 : 1));
    writeFileSync(capture, fileOf(packets));
    times.sort((a, b) => a - b);
  });

  function expectReport(report: Report): void {
    expect(validReport(report), JSON.stringify(validReport.errors)).toBe(true);
    expect(report.ledger).toEqual({ exchanges: 20, losses: [] });
    // From the first request, after the handshake, to the last answer.
    const span = Date.parse(report.range.until) - Date.parse(report.range.since);
    const ms = (times: readonly bigint[], pick: (...of: number[]) => number): number =>
      pick(...times.map((at) => Number(at / 1_000_000n)));
    expect(Math.abs(span - (ms(ended, Math.max) - ms(began, Math.min)))).toBeLessThanOrEqual(2);
    expect(report.services[0]!.rate_per_s / (20 / (span / 1_000)) - 1).toBeCloseTo(0, 2);
    const [row] = report.routes;
    expect(row).toMatchObject({ side: 'unknown', method: 'GET', route: '/v1/users/{id}', count: 20 });
    expect(row!.errors).toMatchObject({ total: 4, ratio: 0.2, classes: { '5xx': 4 } });
    for (const [name, q] of [
      ['p50', 0.5],
      ['p95', 0.95],
    ] as const) {
      const exact = times[Math.ceil(q * 20) - 1]!;
      expect(Math.abs(row!.latency_ns[name]! / exact - 1)).toBeLessThan(0.01);
    }
    expect(row!.load.buckets.map(({ in_flight }) => in_flight)).toEqual([1, 2]);
    expect(row!.headers.find(({ name }) => name === 'authorization')).toMatchObject({ presence: 1, distinct: 1 });
    expect(JSON.stringify(report)).not.toContain('sk-fake');
  }

  test('ndjson: a report line before the summary, and tables on stderr', async () => {
    const { code, stdout, stderr } = await headwater(['replay', capture, '--stats']);
    expect(code).toBe(0);
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    for (const record of records) expect(validLine(record), JSON.stringify(validLine.errors)).toBe(true);
    expect(records.map(({ type }) => type)).toEqual([...Array(20).fill('exchange'), 'report', 'summary']);
    expectReport(records.at(-2));
    for (const title of ['Response time', 'Errors', 'Traffic', 'Services', 'Latency under load', 'Headers'])
      expect(stderr).toContain(`\n${title}\n`);
    expect(stderr).toMatch(/\n20 calls seen; lost: nothing\n$/);
  });

  test('summary: the report and the last line alone', async () => {
    const { code, stdout } = await headwater(['replay', capture, '--stats', '--format', 'summary']);
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect([code, records.map(({ type }) => type)]).toEqual([0, ['report', 'summary']]);
    expectReport(records[0]);
  });

  test('har: the file stays what it is, tables on stderr', async () => {
    const { code, stdout, stderr } = await headwater(['replay', capture, '--stats', '--format', 'har']);
    expect(code).toBe(0);
    expect(JSON.parse(stdout).log.entries).toHaveLength(20);
    expect(stderr).toContain('\nResponse time\n');
  });

  test('a filter chooses the lines, and the calls that are counted', async () => {
    const { stdout } = await headwater(['replay', capture, '--stats', '--filter', 'response.code == 503']);
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(records).toHaveLength(6);
    expect(records[4].ledger.exchanges).toBe(4);
  });

  test('without --stats there is none', async () => {
    const { stdout, stderr } = await headwater(['replay', capture]);
    expect([stdout.includes('"type":"report"'), stderr]).toEqual([false, '']);
  });
});
