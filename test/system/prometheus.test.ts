/** A real Prometheus scrapes a real agent, in both formats: the same numbers, and those that the client counted. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { parseOpenMetrics } from '../fixtures/openmetrics.ts';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, run } from '../rig/program.ts';
import { Prometheus } from '../rig/prometheus.ts';
import { nodeSite } from '../rig/servers/site.ts';

const SECONDS = 6;
/** Scrapes after the last call: two, and one that was on its way. */
const SETTLE_MS = 4_000;

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'prometheus',
  'promtool',
)('what Prometheus has is what the client counted, in text and in native histograms', async () => {
  await using serving = new Cgroup('prometheus');
  await using asking = new Cgroup('prometheus');
  await using site = await nodeSite({ cgroup: serving });
  const listen = `127.0.0.1:${await freePort()}`;
  await using agent = await Agent.start({ cgroups: [serving, asking], args: ['--listen', listen] });
  await using text = await Prometheus.start({ target: listen, native: false });
  await using native = await Prometheus.start({ target: listen, native: true });
  const script = `${import.meta.dirname}/prometheus/traffic.ts`;
  const truth: Record<string, number> = JSON.parse(
    await must([process.execPath, script, String(site.port), String(SECONDS)], { cgroup: asking }),
  );
  await sleep(SETTLE_MS);
  const total = Object.values(truth).reduce((a, b) => a + b, 0);
  expect(total).toBeGreaterThan(500);
  const service = `node:${site.port}`;

  for (const prometheus of [text, native]) {
    const { activeTargets } = await prometheus.ask<{ activeTargets: { lastError: string; health: string }[] }>(
      'targets',
    );
    expect(activeTargets).toEqual([expect.objectContaining({ health: 'up', lastError: '' })]);
    for (const side of ['server', 'client']) {
      const calls = async (labels: string): Promise<number> =>
        prometheus.value(`sum(headwater_calls_total{side="${side}",${labels}})`);
      for (const status of [401, 429, 500]) {
        expect(await calls(`http_response_status_code="${status}"`)).toBe(truth[`GET /status/${status} ${status}`]);
      }
      expect(await calls('route="/slow/{id}",http_response_status_code="200"')).toBe(truth['GET /slow/5 200']);
      expect(await calls('http_request_method="POST"')).toBe(truth['POST /sink 200']);
      // Nothing but 404: no route.
      expect(await calls('route="/missing"')).toBeNaN();
      expect(await calls('route="other",http_response_status_code="404"')).toBe(truth['GET /missing 404']);
      expect(await prometheus.value(`sum(headwater_errors_total{side="${side}",error_class="reset_in_body"})`)).toBe(
        truth['GET /reset reset'],
      );
    }
  }

  const slow = 'http_server_request_duration_seconds{route="/slow/{id}"}';
  const classic = slow.replace('{', '_count{');
  expect(await text.value(classic)).toBe(truth['GET /slow/5 200']);
  expect(await native.value(`histogram_count(${slow})`)).toBe(truth['GET /slow/5 200']);
  expect(await native.value(`histogram_sum(${slow})`)).toBe(await text.value(slow.replace('{', '_sum{')));
  // Five milliseconds at least, by the server's timer; the two ways to ask agree.
  const median = await native.value(`histogram_quantile(0.5, ${slow})`);
  expect(median).toBeGreaterThan(0.0049);
  expect(median).toBeLessThan(0.5);
  const metrics = await text.ask<string[]>('label/__name__/values');
  expect(metrics).toEqual(
    expect.arrayContaining([
      'headwater_build_info',
      'headwater_load_duration_seconds_bucket',
      'headwater_load_seconds_total',
    ]),
  );

  // Calls to point at: each is in the log.
  await agent.until((exchanges) => exchanges.length >= 2 * total);
  const ids = new Set(agent.exchanges().map(({ id }) => id));
  const end = Date.now() / 1000;
  for (const [prometheus, query] of [
    [text, 'http_server_request_duration_seconds_bucket'],
    [native, 'http_server_request_duration_seconds'],
    [text, 'headwater_failed_calls_total'],
  ] as const) {
    const found = await prometheus.ask<{ exemplars: { labels: { call_id: string } }[] }[]>('query_exemplars', {
      query,
      start: String(end - 60),
      end: String(end),
    });
    const shown = found.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels.call_id));
    expect(shown.length).toBeGreaterThan(0);
    expect(shown.filter((id) => !ids.has(id))).toEqual([]);
  }

  const ask = async (accept: string): Promise<string> =>
    (await fetch(`http://${listen}/metrics`, { headers: { accept } })).text();
  const families = parseOpenMetrics(await ask('application/openmetrics-text'));
  expect(families.get('headwater_calls')!.samples.some(({ labels }) => labels['service'] === service)).toBe(true);
  const check = await run(['promtool', 'check', 'metrics'], { input: await ask('text/plain') });
  expect([check.code, check.stdout, check.stderr]).toEqual([0, '', '']);
});
