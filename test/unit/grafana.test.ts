import { describe, expect, test } from 'vitest';
import { AGENT_CATALOGUE } from '../../src/export/prometheus/agent.ts';
import { CATALOGUE } from '../../src/export/prometheus/catalogue.ts';
import { DASHBOARDS } from '../../tools/grafana/dashboards.ts';
import { dashboard } from '../../tools/grafana/model.ts';

interface Made {
  readonly uid: string;
  readonly panels: readonly {
    id: number;
    title: string;
    description: string;
    gridPos: { x: number; y: number; w: number; h: number };
    datasource: { uid: string };
    fieldConfig: { defaults: { unit: string; thresholds: { steps: { value: number | null }[] } } };
    type: string;
    targets: { refId: string; expr: string; legendFormat: string; datasource: { uid: string } }[];
  }[];
  readonly templating: { list: { name: string }[] };
  readonly annotations: { list: { target: { expr: string } }[] };
}

const made = Object.entries(DASHBOARDS).map(([file, spec]): [string, Made] => [file, dashboard(spec) as Made]);

describe.each(made)('%s', (file, board) => {
  test('grafana/*.json is what tools/grafana/dashboards.ts says (vitest -u writes it)', async () => {
    await expect(`${JSON.stringify(board, null, 2)}\n`).toMatchFileSnapshot(`../../grafana/${file}.json`);
  });

  test('every panel says what it shows, of which datasource, in which unit, from low to high', () => {
    expect(new Set(board.panels.map(({ id }) => id)).size).toBe(board.panels.length);
    for (const { title, type, description, datasource, targets, fieldConfig } of board.panels) {
      expect(description.length, title).toBeGreaterThan(20);
      expect(fieldConfig.defaults.unit, title).not.toBe('');
      const [, ...values] = fieldConfig.defaults.thresholds.steps.map(({ value }) => value!);
      expect(values, title).toEqual([...values].sort((a, b) => a - b));
      expect(targets.length, title).toBeGreaterThan(0);
      // Lines are named; tables and single numbers have columns and titles.
      if (type === 'timeseries') for (const { legendFormat } of targets) expect(legendFormat, title).not.toBe('__auto');
      for (const source of [datasource, ...targets.map((target) => target.datasource)])
        expect(source.uid).toBe('$datasource');
    }
  });

  test('panels fill the grid without covering one another', () => {
    const cells = new Set<string>();
    for (const { title, gridPos } of board.panels) {
      expect(gridPos.x + gridPos.w, title).toBeLessThanOrEqual(24);
      for (let x = gridPos.x; x < gridPos.x + gridPos.w; x++)
        for (let y = gridPos.y; y < gridPos.y + gridPos.h; y++) {
          expect(cells.has(`${x} ${y}`), title).toBe(false);
          cells.add(`${x} ${y}`);
        }
    }
  });

  test('what is lost stands above the panels, and is marked on each graph', () => {
    expect(board.panels.slice(0, 3).map(({ title }) => title)).toEqual(['Captured calls', 'Lost', 'Messages lost']);
    expect(board.annotations.list.map(({ target }) => target.expr)).toEqual([
      expect.stringContaining('headwater_losses_total'),
    ]);
  });

  test('queries ask for metrics and labels that there are, and use only variables of the dashboard', () => {
    const families = [...AGENT_CATALOGUE, ...CATALOGUE];
    const names = new Map(families.map((family) => [family.name, family]));
    const variables = new Set(board.templating.list.map(({ name }) => name));
    for (const { title, targets } of board.panels)
      for (const { expr } of targets) {
        for (const [, a, b] of expr.matchAll(/\$(?:(\w+)|\{(\w+)\})/g))
          if (!/^__(rate_interval|range)$/.test(a ?? '')) expect(variables, title).toContain(a ?? b);
        const plain = expr.replaceAll(/\$\{side\}/g, 'server').replaceAll(/\b(by|ignoring) \([^)]*\)/g, '');
        for (const [, name, selector = ''] of plain.matchAll(/\b((?:http|headwater)_\w+)(?:\{([^}]*)\})?/g)) {
          const family = names.get(name!) ?? names.get(name!.replace(/_(total|bucket|count|sum)$/, ''));
          expect(family, `${title}: ${name}`).toBeDefined();
          for (const [, label] of selector.matchAll(/(\w+)[!=~]{1,2}"/g)) expect(family!.labels, name).toContain(label);
        }
      }
  });
});

test('dashboards have ids of their own', () => {
  expect(new Set(made.map(([, { uid }]) => uid)).size).toBe(made.length);
});
