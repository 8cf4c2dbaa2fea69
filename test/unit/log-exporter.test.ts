/** What the log's exporter hands to its writer: which calls, in which form, and the summary. */
import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LogExporter } from '../../src/export/log/exporter.ts';
import { InheritedOpener } from '../../src/export/log/opener.ts';
import { LogWriter } from '../../src/export/log/writer.ts';
import { LossLedger } from '../../src/model/loss.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { exchangeOf, har, id, ndjson, policy } from './log-rig.ts';
import { validLine } from './log-schema.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-log-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function writerTo(name: string, losses = new LossLedger()): Promise<LogWriter> {
  const writer = new LogWriter({
    opener: new InheritedOpener(openSync(join(folder, name), 'a'), name),
    losses,
    report: (event) => expect(event).toBeUndefined(),
    queueBytes: 1 << 20,
    rotateBytes: null,
    rotateAgeMs: null,
  });
  expect(await writer.start()).toBeNull();
  return writer;
}
const written = (name: string): string => readFileSync(join(folder, name), 'latin1');

describe('the exporter', () => {
  const redact = redactor(policy());

  test('writes what the rules keep, counts all, and ends with a summary that knows its own losses', async () => {
    const losses = new LossLedger();
    const writer = await writerTo('calls', losses);
    const log = new LogExporter(ndjson(), writer, { errors: true, slowNs: 5_000_000, share: 0.25 }, id);
    const specs = Array.from({ length: 400 }, (_, ordinal) =>
      exchangeOf({
        ordinal,
        ...(ordinal % 100 === 0
          ? { response: { status: 503 } }
          : ordinal % 100 === 1
            ? { response: { last: 9_000_000 } }
            : ordinal % 100 === 2
              ? { outcome: 'client_abort' as const }
              : {}),
      }),
    );
    for (const x of specs) log.exchange(redact(x));
    losses.lose('gap', 1, 10);
    await log.end(() => ({ segments: 1, bytes: 2, connections: 3, exchanges: 400, losses: losses.totals() }));
    const records = written('calls')
      .trimEnd()
      .split('\n')
      .map((l) => JSON.parse(l));
    for (const record of records) expect(validLine(record), JSON.stringify(validLine.errors)).toBe(true);
    const summary = records.pop();
    expect(summary).toMatchObject({
      type: 'summary',
      exchanges: records.length,
      exchanges_seen: 400,
      losses: [{ reason: 'gap', count: 1, bytes: 10 }],
    });
    const kept = new Set(records.map((r) => r.id));
    for (const ordinal of [0, 1, 2, 100, 101, 102, 300, 301, 302])
      expect(kept).toContain(id(specs[0]!.connection, ordinal));
    expect(kept.size).toBeGreaterThan(60);
    expect(kept.size).toBeLessThan(170);
  });

  test('the same calls are kept each time', async () => {
    const kept = async (name: string): Promise<string> => {
      const writer = await writerTo(name);
      const log = new LogExporter(ndjson(), writer, { errors: false, slowNs: null, share: 0.5 }, id);
      for (let ordinal = 0; ordinal < 50; ordinal++) log.exchange(redact(exchangeOf({ ordinal })));
      await log.end(() => ({ segments: 0, bytes: 0, connections: 0, exchanges: 0, losses: [] }));
      return written(name);
    };
    expect(await kept('a')).toBe(await kept('b'));
  });

  test.each([0, 1, 3])('a HAR file of %i calls is one JSON document', async (calls) => {
    const writer = await writerTo('calls');
    const log = new LogExporter(har(), writer, null, id);
    for (let ordinal = 1; ordinal <= calls; ordinal++) log.exchange(redact(exchangeOf({ ordinal })));
    await log.end(() => ({ segments: 0, bytes: 0, connections: 0, exchanges: 0, losses: [] }));
    expect(JSON.parse(written('calls')).log.entries).toHaveLength(calls);
  });
});
