/** Every query of every dashboard, and of the alert rules, on a real Prometheus that has scraped a real run: each returns data. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { DASHBOARDS } from '../../tools/grafana/dashboards.ts';
import { dashboard } from '../../tools/grafana/model.ts';
import { Agent } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must } from '../rig/program.ts';
import { Prometheus } from '../rig/prometheus.ts';
import { nodeSite } from '../rig/servers/site.ts';

const SECONDS = 40;
const WINDOW = '4s';
const RATE_S = 6;

interface Target {
  readonly expr: string;
  readonly instant: boolean;
}
interface Made {
  readonly panels: readonly { title: string; targets: readonly Target[] }[];
  readonly annotations: { list: readonly { expr: string }[] };
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
)('every panel of every dashboard shows something, of both sides, from text and from native histograms', async () => {
  await using serving = new Cgroup('grafana');
  await using asking = new Cgroup('grafana');
  await using site = await nodeSite({ cgroup: serving });
  const listen = `127.0.0.1:${await freePort()}`;
  await using agent = await Agent.start({
    cgroups: [serving, asking],
    args: ['--listen', listen, '--window', WINDOW],
  });
  await using text = await Prometheus.start({ target: listen, native: false });
  await using native = await Prometheus.start({ target: listen, native: true });
  await sleep(2_000);
  const script = `${import.meta.dirname}/prometheus/traffic.ts`;
  const begin = Date.now() / 1000;
  await must([process.execPath, script, String(site.port), String(SECONDS)], { cgroup: asking, timeoutMs: 90_000 });
  await sleep(2_000);
  const end = Date.now() / 1000;

  /** How many series have a number in the time of the run. */
  const shown = async (prometheus: Prometheus, { expr, instant }: Target, side: string): Promise<number> => {
    const query = filled(expr, side);
    if (instant) {
      const rows = await prometheus.query(query);
      return rows.filter(({ value, histogram }) => histogram !== undefined || Number.isFinite(Number(value![1])))
        .length;
    }
    const range = { query, start: String(begin), end: String(end), step: '2' };
    const { result } = await prometheus.ask<{
      result: { values?: [number, string][]; histograms?: unknown[] }[];
    }>('query_range', range);
    return result.filter(
      ({ values = [], histograms = [] }) => histograms.length > 0 || values.some(([, n]) => Number.isFinite(Number(n))),
    ).length;
  };

  const empty: string[] = [];
  for (const [format, prometheus] of Object.entries({ text, native })) {
    for (const spec of Object.values(DASHBOARDS)) {
      const board = dashboard(spec) as Made;
      for (const side of ['server', 'client']) {
        const all = [...board.panels, { title: 'annotations', targets: board.annotations.list }];
        for (const { title, targets } of all)
          for (const target of targets)
            if ((await shown(prometheus, { instant: false, ...target }, side)) === 0)
              empty.push(`${format}, ${side}, ${spec.title}, ${title}: ${filled(target.expr, side)}`);
        for (const { name, definition } of board.templating.list) {
          const [, series, label] = /^label_values\((.*), (\w+)\)$/.exec(definition ?? '') ?? [];
          if (series === undefined) continue;
          const values = await prometheus.ask<string[]>(`label/${label}/values`, { 'match[]': filled(series, side) });
          if (values.length === 0) empty.push(`${format}, ${side}, ${spec.title}: variable ${name}`);
        }
      }
    }
  }
  expect(empty).toEqual([]);
  await agent.stop();
});
