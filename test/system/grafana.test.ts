/** Every query of every dashboard, and of the alert rules, on a real Prometheus that has scraped a real run: each returns data. */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { DASHBOARDS } from '../../tools/grafana/dashboards.ts';
import { type DashboardSpec, dashboard } from '../../tools/grafana/model.ts';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must } from '../rig/program.ts';
import { Prometheus } from '../rig/prometheus.ts';
import type { Server } from '../rig/servers/server.ts';
import { TlsHome } from '../rig/tls/servers.ts';

const SECONDS = 12;
const WINDOW = '2s';
/** A busy machine answers a scrape late, and Prometheus gives up after a second: two samples must still be in it. */
const RATE_S = 30;

interface Made {
  readonly panels: readonly { title: string; targets: readonly { expr: string }[] }[];
  readonly annotations: { list: readonly { target: { expr: string } }[] };
  readonly templating: { list: readonly { name: string; type: string; definition?: string }[] };
}

/** As Grafana puts variables in, with everything chosen. */
const filled = (expr: string, side: string): string =>
  expr
    .replaceAll('$__rate_interval', `${RATE_S}s`)
    .replaceAll('$__range', `${SECONDS + 10}s`)
    .replaceAll(/\$(\{side\}|side\b)/g, side)
    .replaceAll(/\$(service|route)\b/g, '.*')
    .replaceAll('$objective', '99.9');

when(
  it,
  'root',
  'cgroup2',
  'bpf',
  'prometheus',
  'openssl',
)('every panel of every dashboard shows something, of both sides, from text and from native histograms', async () => {
  await using serving = new Cgroup('grafana');
  await using asking = new Cgroup('grafana');
  await using home = await TlsHome.open();
  // All of them run one copy of Node, which is probed.
  const started = (name: string, script: string, ...more: string[]): Promise<Server> =>
    home.serve(name, (port) => [home.node, join(import.meta.dirname, '../rig', script), port, ...more], serving);
  const site = await started('site', 'servers/site-node.ts', home.folder.file('access.log'));
  const secure = await started('https', 'tls/https-server.mjs', '1.2');
  const grpc = await started('grpc', 'servers/grpc-site.ts');
  const listen = `127.0.0.1:${await freePort()}`;
  await using agent = await Agent.start({
    cgroups: [serving, asking],
    args: ['--listen', listen, '--window', WINDOW],
    secrets: true,
  });
  await using text = await Prometheus.start({ target: listen, native: false });
  await using native = await Prometheus.start({ target: listen, native: true });
  const databases = { text, native };
  for (const one of Object.values(databases)) await one.until('headwater_build_info');
  const script = `${import.meta.dirname}/prometheus/traffic.ts`;
  const begin = Date.now() / 1000;
  const traffic = [home.node, script, String(site.port), String(SECONDS), String(secure.port), String(grpc.port)];
  await must(traffic, { cgroup: asking, timeoutMs: 90_000 });
  // A rate needs two samples, also of what only the last window brought.
  for (let samples = 0; samples < 2; samples++) {
    const from = Date.now() / 1000;
    for (const one of Object.values(databases)) await one.until(`timestamp(headwater_build_info) > ${from}`);
  }
  const end = Date.now() / 1000;

  /** How many series have a number at some time of the run. */
  const shown = async (prometheus: Prometheus, expr: string, side: string): Promise<number> => {
    const range = { query: filled(expr, side), start: String(begin), end: String(end), step: '1' };
    const { result } = await prometheus.ask<{
      result: { values?: [number, string][]; histograms?: unknown[] }[];
    }>('query_range', range);
    return result.filter(
      ({ values = [], histograms = [] }) => histograms.length > 0 || values.some(([, n]) => Number.isFinite(Number(n))),
    ).length;
  };

  const empty: string[] = [];
  const noneEmpty = async (
    format: string,
    prometheus: Prometheus,
    spec: DashboardSpec,
    side: string,
  ): Promise<void> => {
    const board = dashboard(spec) as Made;
    const all = [
      ...board.panels,
      { title: 'annotations', targets: board.annotations.list.map(({ target }) => target) },
    ];
    for (const { title, targets } of all)
      for (const { expr } of targets)
        if ((await shown(prometheus, expr, side)) === 0)
          empty.push(`${format}, ${side}, ${spec.title}, ${title}: ${filled(expr, side)}`);
    for (const { name, definition } of board.templating.list) {
      const [, series, label] = /^label_values\((.*), (\w+)\)$/.exec(definition ?? '') ?? [];
      if (series === undefined) continue;
      const values = await prometheus.ask<string[]>(`label/${label}/values`, { 'match[]': filled(series, side) });
      if (values.length === 0) empty.push(`${format}, ${side}, ${spec.title}: variable ${name}`);
    }
  };
  for (const [format, prometheus] of Object.entries(databases))
    for (const side of ['server', 'client'])
      await Promise.all(Object.values(DASHBOARDS).map((spec) => noneEmpty(format, prometheus, spec, side)));
  expect(empty).toEqual([]);
  await agent.stop();
});
