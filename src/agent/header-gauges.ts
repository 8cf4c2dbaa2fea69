/**
 * Header fields as gauges: of each service, side and direction, all its routes together, the last window that ended against all before it.
 * Added up once for each window, in steps, while the window's groups are at hand: a scrape that had to read an hour of windows again would
 * keep capture waiting for seconds.
 */
import type { HeaderMetrics } from '../export/prometheus/statistics.ts';
import { headerRows } from '../stats/headers/rows.ts';
import { type HeaderGroupKey, HeaderState } from '../stats/headers/state.ts';

/** Names of header fields with gauges of their own: the most frequent of each service, side and direction. */
const NAMES_MAX = 32;
/** Services, each side by itself, that have gauges. */
const SERVICES_MAX = 32;
/** Names in each of the two sums, about 3 kB each. */
const NAMES_TOTAL_MAX = 2 * NAMES_MAX * SERVICES_MAX;

type Field = HeaderMetrics['fields'] extends Iterable<infer One> ? One : never;

export class HeaderGauges {
  readonly #services = new Map<string, HeaderGroupKey>();
  #last: HeaderState | null = null;
  #before = new HeaderState(NAMES_TOTAL_MAX);
  /** The window before the last is being added to #before. */
  #adding = false;
  /** Of #last; null: not made yet. */
  #fields: readonly Field[] | null = null;

  /** Takes the groups of a window that has ended, which stay as they are; yields after each. */
  *ended({ groups }: HeaderState): Generator<void> {
    this.#makeRoom(groups);
    const last = new HeaderState(NAMES_TOTAL_MAX);
    for (const group of groups.values()) {
      const key = this.#service(group.key);
      if (key === null) continue;
      last.group(key, group.direction).merge(group);
      yield;
    }
    const over = this.#last;
    this.#last = last;
    this.#fields = null;
    if (over === null) return;
    this.#adding = true;
    for (const group of over.groups.values()) {
      this.#before.group(group.key, group.direction).merge(group, true);
      yield;
    }
    this.#adding = false;
  }

  /** One service after the other: each takes a millisecond when a window has just ended. */
  *fields(): Generator<Field> {
    const last = this.#last;
    if (last === null) return;
    if (this.#fields !== null) return yield* this.#fields;
    const all: Field[] = [];
    const reference = this.#before.groups.size === 0 ? null : this.#before;
    for (const key of this.#services.values()) {
      const rows = headerRows(last, key, reference).filter(({ name }) => !name.startsWith(':'));
      for (const direction of ['request', 'response'] as const) {
        const most = rows.filter((row) => row.direction === direction).sort((a, b) => b.lines - a.lines);
        for (const row of most.slice(0, NAMES_MAX)) {
          const field = {
            side: key.side,
            service: key.service,
            direction,
            name: row.name,
            presence: row.presence,
            distinct: row.distinct,
            entropyBits: row.entropy_bits,
            drift: row.drift?.jensen_shannon ?? null,
          };
          all.push(field);
          yield field;
        }
      }
    }
    // A window may have ended meanwhile.
    if (this.#last === last && !this.#adding) this.#fields = all;
  }

  /** When no further service can have gauges, those that the window does not have lose theirs. */
  #makeRoom(groups: HeaderState['groups']): void {
    const here = new Set([...groups.values()].map(({ key }) => nameOf(key)));
    const further = [...here].some((name) => !this.#services.has(name));
    if (!further || this.#services.size < SERVICES_MAX) return;
    for (const name of this.#services.keys()) if (!here.has(name)) this.#services.delete(name);
    const before = new HeaderState(NAMES_TOTAL_MAX);
    for (const group of this.#before.groups.values())
      if (here.has(nameOf(group.key))) before.group(group.key, group.direction).merge(group, true);
    this.#before = before;
  }

  #service({ side, service }: HeaderGroupKey): HeaderGroupKey | null {
    const name = nameOf({ side, service });
    const known = this.#services.get(name);
    if (known !== undefined) return known;
    if (this.#services.size >= SERVICES_MAX) return null;
    const key = { side, service, method: '', route: '' };
    this.#services.set(name, key);
    return key;
  }
}

const nameOf = ({ side, service }: { readonly side: string; readonly service: string }): string => `${side} ${service}`;
