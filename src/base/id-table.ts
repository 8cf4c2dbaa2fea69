/**
 * What is under way by an id of 31 bits, where ids are handed out one after another and most are gone soon (HTTP/2
 * streams): open addressing by the id itself, so that consecutive ids have a place each. A Map makes garbage of every
 * deletion. One id at a time needs no table: that is all that most connections ever have. Ids that find no place near their own go to a Map all the same: a peer that picks them for that gains nothing.
 */

/** No id: 0 is one, though no peer that keeps to the rules uses it. */
const EMPTY = -1;
/** Places at first, and those that an empty table keeps. */
const PLACES_FIRST = 4;
const PLACES_KEPT = 64;
/** Places that are looked at for an id. */
const PROBES = 8;
/** A table is not made larger for so few ids in proportion: they collide on purpose. */
const SPARSE = 4;

const NOTHING: never[] = [];

export class IdTable<T> {
  size = 0;
  /** One of them, outside the table; EMPTY: none is. */
  #id = EMPTY;
  #value: T | undefined = undefined;
  #ids: number[] = NOTHING;
  #values: (T | undefined)[] = NOTHING;
  #mask = -1;
  #others: Map<number, T> | null = null;

  get(id: number): T | undefined {
    if (id === this.#id) return this.#value;
    const place = this.#find(id);
    return place < 0 ? this.#others?.get(id) : this.#values[place];
  }

  /** Takes the place of what was under the same id. */
  set(id: number, value: T): void {
    if (id === this.#id) {
      this.#value = value;
      return;
    }
    let place = this.#find(id);
    if (place >= 0) {
      this.#values[place] = value;
      return;
    }
    if (this.#others?.has(id)) {
      this.#others.set(id, value);
      return;
    }
    this.size++;
    if (this.#id === EMPTY) {
      this.#id = id;
      this.#value = value;
      return;
    }
    for (place = this.#free(id); place < 0; place = this.#free(id)) {
      if (this.#ids.length > SPARSE * this.size) {
        this.#others ??= new Map();
        this.#others.set(id, value);
        return;
      }
      this.#grow();
    }
    this.#ids[place] = id;
    this.#values[place] = value;
  }

  delete(id: number): void {
    if (id === this.#id) {
      this.#id = EMPTY;
      this.#value = undefined;
    } else {
      const place = this.#find(id);
      if (place >= 0) {
        this.#ids[place] = EMPTY;
        this.#values[place] = undefined;
      } else if (this.#others === null || !this.#others.delete(id)) return;
    }
    if (--this.size > 0) return;
    this.#others = null;
    if (this.#ids.length <= PLACES_KEPT) return;
    this.#ids = NOTHING;
    this.#values = NOTHING;
    this.#mask = -1;
  }

  /** What is there now, by rising id; the table may change meanwhile. */
  entries(): [id: number, value: T][] {
    if (this.size === 0) return NOTHING;
    const found: [number, T][] = this.#others === null ? [] : [...this.#others];
    if (this.#id !== EMPTY) found.push([this.#id, this.#value!]);
    for (const [place, id] of this.#ids.entries()) if (id !== EMPTY) found.push([id, this.#values[place]!]);
    return found.sort(([a], [b]) => a - b);
  }

  #find(id: number): number {
    const ids = this.#ids;
    const mask = this.#mask;
    if (mask < 0) return -1;
    const first = (id >>> 1) & mask;
    if (ids[first] === id) return first;
    for (let i = 1; i < PROBES; i++) {
      const place = (first + i) & mask;
      if (ids[place] === id) return place;
    }
    return -1;
  }

  /** An empty place for `id`, or -1. */
  #free(id: number): number {
    if (this.#mask < 0) return -1;
    for (let i = 0; i < PROBES; i++) {
      const place = ((id >>> 1) + i) & this.#mask;
      if (this.#ids[place] === EMPTY) return place;
    }
    return -1;
  }

  #grow(): void {
    const ids = this.#ids;
    const values = this.#values;
    const length = Math.max(PLACES_FIRST, 2 * ids.length);
    this.#ids = new Array<number>(length).fill(EMPTY);
    this.#values = new Array<T | undefined>(length).fill(undefined);
    this.#mask = length - 1;
    for (let i = 0; i < ids.length; i++) {
      if (ids[i] === EMPTY) continue;
      const place = this.#free(ids[i]!);
      if (place >= 0) {
        this.#ids[place] = ids[i]!;
        this.#values[place] = values[i];
      } else {
        this.#others ??= new Map();
        this.#others.set(ids[i]!, values[i]!);
      }
    }
  }
}
