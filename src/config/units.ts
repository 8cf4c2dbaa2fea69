/** Sizes and durations as people write them. */

const SIZE_UNITS: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  k: 2 ** 10,
  kib: 2 ** 10,
  kb: 1e3,
  m: 2 ** 20,
  mib: 2 ** 20,
  mb: 1e6,
  g: 2 ** 30,
  gib: 2 ** 30,
  gb: 1e9,
};

const DURATION_UNITS_NS: Readonly<Record<string, number>> = {
  ns: 1,
  us: 1e3,
  µs: 1e3,
  ms: 1e6,
  s: 1e9,
  m: 60e9,
  h: 3_600e9,
  d: 86_400e9,
};

/**
 * Bytes in "16MiB", "64 KiB", "10MB", "4096" or the number 4096; null when it is none of them, is negative, or is not a
 * whole number of bytes.
 */
export function parseSize(value: string | number): number | null {
  const match =
    typeof value === 'number' ? [null, String(value), ''] : /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(value);
  if (match === null) return null;
  const unit = SIZE_UNITS[match[2]!.toLowerCase()];
  const bytes = Number(match[1]) * (unit ?? Number.NaN);
  return Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : null;
}

/**
 * Nanoseconds in "200ms", "1.5s", "1m30s", "7d" or 0; null when it is none of them. A bare number other than 0 is refused:
 * nobody can tell its unit.
 */
export function parseDuration(value: string | number): number | null {
  const text = String(value).trim();
  if (text === '0') return 0;
  if (!/^(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d))+$/.test(text)) return null;
  let total = 0;
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d)/g)) {
    total += Number(amount) * DURATION_UNITS_NS[unit!]!;
  }
  const ns = Math.round(total);
  return Number.isSafeInteger(ns) ? ns : null;
}

/** "16 MiB", "1.5 GiB", "512 B": the largest unit that gives at least 1, one decimal at most. */
export function formatSize(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let amount = bytes;
  let unit = 0;
  while (Math.abs(amount) >= 1024 && unit < units.length - 1) {
    amount /= 1024;
    unit++;
  }
  return `${Number.isInteger(amount) ? amount : amount.toFixed(1)} ${units[unit]}`;
}

/** `ADDR:PORT`, `[V6]:PORT` or `:PORT` (all addresses). Port 0 asks the system for a free one. Null when it is none of them. */
export function parseListen(text: string): { readonly host: string; readonly port: number } | null {
  const match = /^(?:\[([0-9a-fA-F:.%]+)\]|([^\s:[\]]*)):(\d{1,5})$/.exec(text);
  if (match === null) return null;
  const port = Number(match[3]);
  return port > 65_535 ? null : { host: match[1] ?? (match[2] === '' ? '::' : match[2]!), port };
}
