/** The dashboards: one for each statistic, and one over all. grafana/*.json is made from this by a test (`vitest -u` writes it). */
import { errors } from './dashboards/errors.ts';
import { headers } from './dashboards/headers.ts';
import { load } from './dashboards/load.ts';
import { overview } from './dashboards/overview.ts';
import { responseTime } from './dashboards/response-time.ts';
import { tls } from './dashboards/tls.ts';
import { traffic } from './dashboards/traffic.ts';
import type { DashboardSpec } from './model.ts';

/** By file name in grafana/. */
export const DASHBOARDS: Readonly<Record<string, DashboardSpec>> = {
  overview,
  'response-time': responseTime,
  errors,
  traffic,
  load,
  headers,
  tls,
};
