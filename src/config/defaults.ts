import type { Config } from './schema.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;
const SECOND_NS = 1e9;
const MINUTE_NS = 60 * SECOND_NS;
const DAY_NS = 24 * 60 * MINUTE_NS;

/**
 * The configuration of an empty file, for whoever needs no schema: the library that checks configurations takes a third of
 * the start of a program. A test holds it to the schema's own defaults.
 */
export const defaultConfig = (): Config => ({
  cgroups: [],
  services: [],
  capture: { window: 8 * KIB, stream_window: 64 * KIB },
  log: {
    rotate: { size: 256 * MIB, age: DAY_NS, keep: 7 },
    compress: 'none',
    headers: { include: [], exclude: [] },
    keep: { errors: true, share: 1 },
    queue: 32 * MIB,
  },
  redact: { sensitive: [], allow: [], query: [] },
  filter: '',
  user: 'nobody',
  stats_only: false,
  window: MINUTE_NS,
  timeouts: { response: 5 * MINUTE_NS, idle: 15 * MINUTE_NS },
  store: { enabled: true, keep: { age: 30 * DAY_NS, size: 10 * GIB } },
  tls: { secrets: true, verify_tags: false },
  limits: { connections: 100_000, memory: 96 * MIB },
});
