import { expect, test } from 'vitest';
import { reportOf, StatsRig } from '../../../test/unit/stats-rig.ts';
import type { Report } from '../../query/report.ts';
import { shortReport } from './short-report.ts';

test('what adds up to the errors stands behind them; clients that went away are told apart', () => {
  const rig = new StatsRig();
  for (const status of [200, 404, 429, 404]) rig.call({ status });
  rig.call({ outcome: 'client_abort' });
  const report = reportOf(rig.engine.states());
  const whole: Report = {
    ...report,
    changes: [],
    routes: report.routes.map((row) => ({ ...row, headers: [], blocks: [] })),
    tls: [],
  };
  expect(new Map(shortReport(whole, 'api', 'server')).get('errors')).toMatch(
    /^3 of 5 calls: 60\.0 %, with 95 % confidence .* \(404 2x, 429 1x\); 1 more ended early by the client$/,
  );
});
