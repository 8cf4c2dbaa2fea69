/** The alert rules: promtool's own checks and unit tests, and that they ask for metrics that there are. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, test } from 'vitest';
import { parse } from 'yaml';
import { AGENT_CATALOGUE } from '../../src/export/prometheus/agent.ts';
import { CATALOGUE } from '../../src/export/prometheus/catalogue.ts';
import { LOSS_REASONS } from '../../src/model/loss.ts';
import { when } from '../rig/need.ts';
import { run } from '../rig/program.ts';

const folder = fileURLToPath(new URL('../../grafana/', import.meta.url));
interface Rule {
  readonly record?: string;
  readonly alert?: string;
  readonly expr: string;
  readonly labels?: { severity: string };
  readonly annotations?: { summary: string; description: string };
}
const rules = (
  parse(readFileSync(`${folder}prometheus-rules.yaml`, 'utf8')) as { groups: { rules: Rule[] }[] }
).groups.flatMap((group) => group.rules);
const tested = readFileSync(`${folder}prometheus-rules.test.yaml`, 'utf8');

when(describe, 'promtool')('promtool', () => {
  it.each([
    ['check', 'prometheus-rules.yaml'],
    ['test', 'prometheus-rules.test.yaml'],
  ])('%s rules %s', async (verb, file) => {
    const { code, stdout, stderr } = await run(['promtool', verb, 'rules', file], { cwd: folder });
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('SUCCESS');
  });
});

test('every alert says what is the matter and what to do, and has a unit test that fires it', () => {
  const docs = readFileSync(new URL('../../docs/grafana.md', import.meta.url), 'utf8');
  for (const { alert, labels, annotations } of rules) {
    if (alert === undefined) continue;
    expect(docs).toContain(`| \`${alert}\` | ${labels?.severity} |`);
    expect(['page', 'ticket', 'info'], alert).toContain(labels?.severity);
    expect(annotations?.summary.length, alert).toBeGreaterThan(10);
    expect(annotations?.description.length, alert).toBeGreaterThan(30);
    expect(tested, alert).toMatch(new RegExp(`alertname: ${alert}\\n +exp_alerts:\\n +- exp_labels`));
  }
});

test('metrics, labels and loss reasons in the rules are there', () => {
  const families = new Map([...AGENT_CATALOGUE, ...CATALOGUE].map((family) => [family.name, family]));
  for (const { expr } of rules)
    for (const [, name, selector = ''] of expr.matchAll(/(?<!:)\b((?:http|headwater)_\w+)(?!:)(?:\{([^}]*)\})?/g)) {
      const family = families.get(name!) ?? families.get(name!.replace(/_(total|info)$/, ''));
      expect(family, name).toBeDefined();
      for (const [, label] of selector.matchAll(/(\w+)[!=~]{1,2}"/g)) expect(family!.labels, name).toContain(label);
      for (const [, pattern] of selector.matchAll(/reason[!=]~"([^"]*)"/g))
        for (const part of pattern!.split(/\|(?![^(]*\))/))
          expect(
            LOSS_REASONS.some((reason) => new RegExp(`^(?:${part})$`).test(reason)),
            part,
          ).toBe(true);
    }
});
