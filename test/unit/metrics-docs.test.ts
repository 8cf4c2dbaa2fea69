import { expect, test } from 'vitest';
import { AGENT_CATALOGUE } from '../../src/export/prometheus/agent.ts';
import { CATALOGUE } from '../../src/export/prometheus/catalogue.ts';
import type { MetricFamily } from '../../src/export/prometheus/family.ts';
import { withGeneratedBlock } from '../fixtures/generated-block.ts';

const FILE = new URL('../../docs/metrics.md', import.meta.url);
const SUFFIX = { counter: '_total', gauge: '', info: '_info', histogram: '' } as const;

const table = (families: readonly MetricFamily[]): string =>
  [
    '| Name | Type | Labels | Meaning |',
    '|---|---|---|---|',
    ...families.map(({ name, type, labels, help }) => {
      const named = labels.map((label) => `\`${label}\``).join(', ');
      return `| \`${name}${SUFFIX[type]}\` | ${type} | ${named} | ${help} |`;
    }),
  ].join('\n');

test('the tables in docs/metrics.md are the catalogue (vitest -u writes them)', async () => {
  const statistics = withGeneratedBlock(FILE, 'statistics', table(CATALOGUE));
  const agent = withGeneratedBlock(FILE, 'agent', table(AGENT_CATALOGUE));
  const block = /<!-- agent: [\s\S]*<!-- end of agent -->/;
  await expect(statistics.replace(block, block.exec(agent)![0])).toMatchFileSnapshot('../../docs/metrics.md');
});
