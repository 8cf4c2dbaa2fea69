/** Numbers as people read them. */

/** "1,204,331". */
export const count = (n: number): string => n.toLocaleString('en-US', { maximumFractionDigits: 0 });

/** "1 viewer", "2 viewers". */
export const some = (n: number, what: string): string => `${count(n)} ${what}${n === 1 ? '' : 's'}`;

/** "99.98 %": as many decimals as it takes to tell it from 100 % when it is not (at most five), never rounded up to it. */
export function percent(part: number, whole: number): string {
  if (whole === 0 || part >= whole) return '100 %';
  const value = (part / whole) * 100;
  for (let decimals = 2; decimals <= 5; decimals++) {
    const text = value.toFixed(decimals);
    if (Number(text) < 100) return `${text} %`;
  }
  return '99.99999 %';
}

/** "1.9ms", "12ms", "1.23s": three significant digits at most. */
export function duration(ns: number): string {
  const units: ReadonlyArray<readonly [number, string]> = [
    [60e9, 'min'],
    [1e9, 's'],
    [1e6, 'ms'],
    [1e3, 'us'],
  ];
  for (const [size, unit] of units) if (ns >= size) return `${significant(ns / size)}${unit}`;
  return `${Math.round(ns)}ns`;
}

/** "91B", "1.2k", "3.4M": powers of 1,000, short, for columns. */
export function shortBytes(bytes: number): string {
  if (bytes < 1e3) return `${bytes}B`;
  if (bytes < 1e6) return `${significant(bytes / 1e3)}k`;
  if (bytes < 1e9) return `${significant(bytes / 1e6)}M`;
  return `${significant(bytes / 1e9)}G`;
}

const significant = (n: number): string => (n < 9.95 ? n.toFixed(1) : String(Math.floor(n)));

/** "2 d 3 h", "3 h 4 min", "4 min 5 s", "5 s". */
export function uptime(seconds: number): string {
  const parts: Array<[number, string]> = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [Math.floor(seconds) % 60, 's'],
  ];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return '0 s';
  return parts
    .slice(first, first + 2)
    .filter(([n]) => n > 0)
    .map(([n, unit]) => `${n} ${unit}`)
    .join(' ');
}
