/** How often each kind of header change was told of each service: counters of /metrics. */
import type { ChangeKind } from '../stats/headers/changes.ts';

/** Counters kept; the one that changed longest ago makes room, for services come and go. */
const COUNTS_MAX = 4_096;

interface Counted {
  readonly side: string;
  readonly service: string;
}

export interface ChangeCount extends Counted {
  readonly kind: ChangeKind;
  count: number;
}

export class ChangeCounts {
  /** The one that changed last comes last. */
  readonly #counts = new Map<string, ChangeCount>();

  /** Adds `n` changes; 0: only that there is such a counter. */
  add({ side, service }: Counted, kind: ChangeKind, n: number): void {
    const name = `${side} ${kind} ${service}`;
    const known = this.#counts.get(name) ?? { side, service, kind, count: 0 };
    known.count += n;
    this.#counts.delete(name);
    this.#counts.set(name, known);
    if (this.#counts.size > COUNTS_MAX) this.#counts.delete(this.#counts.keys().next().value!);
  }

  values(): Iterable<Readonly<ChangeCount>> {
    return this.#counts.values();
  }
}
