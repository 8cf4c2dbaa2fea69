/** R11 for the statistics: of credentials in every place of a call, no report and no scrape shows eight bytes in a row. */
import { expect, test } from 'vitest';
import { AgentMetrics } from '../../src/agent/metrics.ts';
import { Statistics } from '../../src/agent/statistics.ts';
import { RouteTable } from '../../src/exchange/route.ts';
import type { Exposition } from '../../src/export/prometheus/family.ts';
import { ProtobufExposition } from '../../src/export/prometheus/protobuf.ts';
import { TextExposition } from '../../src/export/prometheus/text.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { reportMarkdown, reportText } from '../../src/stats/render.ts';
import { ANYWHERE, formsOf, KNOWN, QUIET, RANDOM, SENSITIVE } from '../fixtures/canaries.ts';
import { leak } from '../fixtures/leak.ts';
import { sampleSource } from '../fixtures/samples.ts';
import { type ExchangeSpec, exchangeOf, id, policy } from './log-rig.ts';

const CANARIES = 200;
const WINDOW_NS = 60e9;
const ANCHOR = { wallNs: 1_795_363_440_000_000_000n };
const START_MS = 1_795_363_440_000;

test(`${CANARIES} credentials: report, Markdown, OpenMetrics and protobuf`, () => {
  const statistics = new Statistics({ anchor: ANCHOR, id, key: Buffer.alloc(32, 7), windowNs: WINDOW_NS });
  const metrics = new AgentMetrics(sampleSource(), statistics, START_MS);
  const redact = redactor(policy({ sensitive: ['x-own-*'], query: ['own_param'] }));
  const routes = new RouteTable();
  const secrets = new Map<string, readonly string[]>();
  const anywhere = { ...KNOWN, ...RANDOM };
  const sure = { ...anywhere, ...QUIET };
  let at = 1e6;
  let calls = 0;
  const observe = (spec: ExchangeSpec): void => {
    const times = { first: at, last: at + 1_000 };
    const x = exchangeOf({
      ...spec,
      ordinal: ++calls,
      request: { ...spec.request, ...times },
      response: { ...spec.response, first: at + 2_000, last: at + 3_000 },
    });
    x.route = routes.route(x.connection.service, x.request!.method, x.request!.target);
    statistics.observe(redact(x));
    // Four windows, so that something is compared with what was before.
    at += (4 * WINDOW_NS) / (CANARIES * 8);
    statistics.tick(at);
  };
  for (let n = 0; n < CANARIES; n++) {
    const isSure = n % 2 === 0;
    const kinds = Object.entries(isSure ? sure : anywhere);
    const [kind, shape] = kinds[n % kinds.length]!;
    const canary = shape(`${kind} ${n}`);
    secrets.set(`${kind}: ${canary.text}`, formsOf(canary.secret));
    const places = Object.entries(isSure ? SENSITIVE : ANYWHERE);
    for (let i = 0; i < 8; i++) observe(places[(n + i) % places.length]![1](canary.text));
  }
  statistics.finish();
  const exposed = (out: Exposition): string => {
    for (const _ of metrics.statistics(out));
    return Buffer.concat([...out.finish()]).toString('latin1');
  };
  const report = statistics.report([]);
  const outputs = {
    json: JSON.stringify(report),
    text: reportText(report),
    markdown: reportMarkdown(report),
    openmetrics: exposed(new TextExposition(START_MS)),
    protobuf: exposed(new ProtobufExposition(START_MS)),
  };
  expect(report.ledger.exchanges).toBe(calls);
  expect(outputs.json).toContain('[fp:');
  expect(outputs.openmetrics).toContain('headwater_calls_total{');
  const leaks: string[] = [];
  for (const [name, output] of Object.entries(outputs))
    for (const [canary, forms] of secrets) {
      const found = leak(output, forms);
      if (found !== undefined) leaks.push(`${name}: ${found} of ${canary}`);
    }
  expect(leaks.slice(0, 10)).toEqual([]);
});
