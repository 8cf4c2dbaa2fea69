/** A real Prometheus scrapes a real agent, in both formats: the same numbers, and those that the client counted. */
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
  const begin = Date.now() / 1000;
  const truth: Record<string, number> = JSON.parse(
    await must([process.execPath, script, String(site.port), String(SECONDS)], { cgroup: asking }),
  );
  const total = Object.values(truth).reduce((a, b) => a + b, 0);
  expect(total).toBeGreaterThan(100);
  const calls = await agent.until((exchanges) => exchanges.length >= 2 * total);
  const counted = Date.now();
  const service = `node:${site.port}`;

  for (const prometheus of [text, native]) {
    const at = await prometheus.scraped(counted);
    for (const side of ['server', 'client']) {
      const calls = async (labels: string): Promise<number> =>
        prometheus.value(`sum(headwater_calls_total{side="${side}",${labels}})`, at);
      for (const status of [401, 429, 500]) {
        expect(await calls(`http_response_status_code="${status}"`)).toBe(truth[`GET /status/${status} ${status}`]);
      }
      expect(await calls('route="/slow/{id}",http_response_status_code="200"')).toBe(truth['GET /slow/5 200']);
      expect(await calls('http_request_method="POST"')).toBe(truth['POST /sink 200']);
      // Nothing but 404: no route.
      expect(await calls('route="/missing"')).toBeNaN();
      expect(await calls('route="other",http_response_status_code="404"')).toBe(truth['GET /missing 404']);
      expect(
        await prometheus.value(`sum(headwater_errors_total{side="${side}",error_class="reset_in_body"})`, at),
      ).toBe(truth['GET /reset reset']);
    }
  }

  const slow = 'http_server_request_duration_seconds{route="/slow/{id}"}';
  const classic = slow.replace('{', '_count{');
  const [textAt, nativeAt] = [await text.scraped(counted), await native.scraped(counted)];
  expect(await text.value(classic, textAt)).toBe(truth['GET /slow/5 200']);
  expect(await native.value(`histogram_count(${slow})`, nativeAt)).toBe(truth['GET /slow/5 200']);
  expect(await native.value(`histogram_sum(${slow})`, nativeAt)).toBe(
    await text.value(slow.replace('{', '_sum{'), textAt),
  );
  // The log's, within a bucket of the histogram.
  const median = await native.value(`histogram_quantile(0.5, ${slow})`, nativeAt);
  const times = calls
    .filter(({ side, route, response }) => side === 'server' && route === '/slow/{id}' && response !== null)
    .map(({ timing_ns }) => timing_ns['last_response_byte']! / 1e9)
    .sort((a, b) => a - b);
  expect(Math.abs(median / times[Math.floor(times.length / 2)]! - 1)).toBeLessThan(0.1);
  const metrics = await text.ask<string[]>('label/__name__/values');
  expect(metrics).toEqual(
    expect.arrayContaining([
      'headwater_build_info',
      'headwater_load_duration_seconds_bucket',
      'headwater_load_seconds_total',
    ]),
  );

  // Calls to point at: each is in the log.
  const end = Date.now() / 1000;
  for (const [prometheus, query] of [
    [text, 'http_server_request_duration_seconds_bucket'],
    [native, 'http_server_request_duration_seconds'],
    [text, 'headwater_failed_calls_total'],
  ] as const) {
    const found = await prometheus.ask<{ exemplars: { labels: { call_id: string } }[] }[]>('query_exemplars', {
      query,
      start: String(begin),
      end: String(end),
    });
    const shown = found.flatMap(({ exemplars }) => exemplars.map(({ labels }) => labels.call_id));
    expect(shown.length).toBeGreaterThan(0);
    // Waits for those: the log is written a moment later.
    await agent.until((exchanges) => {
      const ids = new Set(exchanges.map(({ id }) => id));
      return shown.every((id) => ids.has(id));
    });
  }

  const ask = async (accept: string): Promise<string> =>
    (await fetch(`http://${listen}/metrics`, { headers: { accept } })).text();
  const families = parseOpenMetrics(await ask('application/openmetrics-text'));
  expect(families.get('headwater_calls')!.samples.some(({ labels }) => labels['service'] === service)).toBe(true);
  const check = await run(['promtool', 'check', 'metrics'], { input: await ask('text/plain') });
  expect([check.code, check.stdout, check.stderr]).toEqual([0, '', '']);
});
