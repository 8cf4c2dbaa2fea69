/** What the agent says of itself to a scraper. */
import { describe, expect, test } from 'vitest';
import { sampleStatus } from '../../../test/fixtures/samples.ts';
import { metricsText } from '../../../test/unit/serve-rig.ts';
import { LOSS_REASONS } from '../../model/loss.ts';

describe('metrics', () => {
  const text = metricsText(sampleStatus());

  test('are well-formed OpenMetrics: each family declared once before its samples, ended by # EOF', () => {
    const lines = text.split('\n');
    expect(lines.slice(-2)).toEqual(['# EOF', '']);
    const types = new Map<string, string>();
    const seen = new Set<string>();
    let family = '';
    for (const line of lines.slice(0, -2)) {
      const declared = /^# (TYPE|UNIT|HELP) (\S+) (.+)$/.exec(line);
      if (declared !== null) {
        const [, kind, name, rest] = declared;
        if (kind === 'TYPE') {
          expect(types.has(name!)).toBe(false);
          types.set(name!, rest!);
          family = name!;
        }
        expect(name).toBe(family);
        if (kind === 'UNIT') expect(name!.endsWith(`_${rest}`)).toBe(true);
        continue;
      }
      const sample = /^([a-z_]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(
        line,
      );
      expect(sample, line).not.toBeNull();
      const suffix = { counter: '_total', gauge: '', info: '_info' }[types.get(family)!];
      const created = types.get(family) === 'counter' ? `${family}_created` : '';
      expect([`${family}${suffix}`, created]).toContain(sample![1]);
      expect(seen.has(`${sample![1]}${sample![2]}`)).toBe(false);
      seen.add(`${sample![1]}${sample![2]}`);
    }
  });

  test('hold the ledger, every loss reason also at zero, ring and CPU', () => {
    expect(text).toContain('headwater_exchanges_total 1204331\n');
    for (const reason of LOSS_REASONS) expect(text).toContain(`headwater_losses_total{reason="${reason}"}`);
    expect(text).toContain('headwater_losses_total{reason="ring_full"} 212\n');
    expect(text).toContain('headwater_losses_total{reason="log_queue_full"} 0\n');
    expect(text).toContain('headwater_segments_total{class="copied"} 2410000\n');
    expect(text).toContain('headwater_ring_bytes{state="peak"} 4194304\n');
    expect(text).toContain('headwater_agent_cpu_seconds_total{process="pipeline"} 9.31\n');
  });
});
