/** How numbers and names stand in a table. Names are hostile: control characters and what is not Latin never get through. */

/** Routes, paths and values longer than this are cut in a table. */
const CELL_MAX = 48;

/** Printable ASCII and Latin-1 letters only, and not too much of it. */
export function plain(text: string): string {
  const clean = text.replace(/[^\x20-\x7e\xa1-\xff]/g, '?');
  return clean.length <= CELL_MAX ? clean : `${clean.slice(0, CELL_MAX - 3)}...`;
}

export const percent = (share: number): string => `${(share * 100).toFixed(share > 0 && share < 0.001 ? 3 : 1)} %`;

/** Three digits that count. */
export function significant(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return '0';
  if (Math.abs(value) >= 100) return value.toFixed(0);
  return Math.abs(value) < 0.001 ? value.toExponential(1) : `${Number(value.toPrecision(3))}`;
}

export function ns(value: number | null): string {
  if (value === null) return '-';
  if (value < 1e3) return `${Math.round(value)} ns`;
  if (value < 1e6) return `${Number((value / 1e3).toPrecision(3))} us`;
  if (value < 1e9) return `${Number((value / 1e6).toPrecision(3))} ms`;
  return `${Number((value / 1e9).toPrecision(3))} s`;
}

export function bytes(value: number): string {
  const units = ['B', 'KB', 'MB', 'GB', 'TB'];
  let scaled = value;
  let unit = 0;
  while (scaled >= 1_000 && unit < units.length - 1) {
    scaled /= 1_000;
    unit++;
  }
  return `${Number(scaled.toPrecision(3))} ${units[unit]}`;
}

/** Service and side, method, route. */
export const routeCells = (row: {
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
}): readonly string[] => [
  `${plain(row.service) || '-'} (${row.side})`,
  plain(row.method) || '-',
  plain(row.route) || '-',
];
