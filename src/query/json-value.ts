/**
 * A value of an SQL answer as JSON has it: whole numbers that a double holds are numbers, larger ones and what is no number (NaN, infinite) are text, as is
 * whatever is neither plain, a list, nor a struct.
 */
export function jsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value.toString();
  if (typeof value === 'number') return Number.isFinite(value) ? value : String(value);
  if (value === null || typeof value !== 'object') return value;
  const { items, entries } = value as { items?: unknown; entries?: unknown };
  if (Array.isArray(items)) return items.map(jsonValue);
  if (typeof entries === 'object' && entries !== null && !Array.isArray(entries))
    return Object.fromEntries(Object.entries(entries).map(([name, part]) => [name, jsonValue(part)]));
  return String(value);
}
