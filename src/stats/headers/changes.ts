/**
 * What changed: each window is compared with what the windows before have taught, and then taught in turn. A change is named once: what it
 * changed to is the reference from then on. How alarms are kept rare is in docs/decisions/0026.
 */
import { GroupModel } from './group-model.ts';
import { ModelRoom } from './model-room.ts';
import { type Direction, type GroupState, groupId, type HeaderState } from './state.ts';

export const CHANGE_KINDS = [
  'header_new',
  'header_vanished',
  'value_new',
  'value_vanished',
  'presence',
  'distribution',
  'order',
] as const;
export type ChangeKind = (typeof CHANGE_KINDS)[number];

export interface ValueShare {
  readonly value: string;
  readonly share: number;
}

export interface Change {
  /** End of the window, RFC 3339. */
  readonly at: string;
  readonly kind: ChangeKind;
  readonly service: string;
  readonly side: string;
  readonly method: string;
  readonly route: string;
  readonly direction: Direction;
  /** Lower case; ":order" for kind order. */
  readonly name: string;
  /**
   * header_new, header_vanished, presence: share of the messages. value_new, value_vanished: values, null for none. order: names joined by
   * ", ". distribution: the most frequent values with their shares.
   */
  readonly before: number | string | null | readonly ValueShare[];
  readonly after: number | string | null | readonly ValueShare[];
  /** Id of a call that shows it: the first with what is new, the last with what is gone. */
  readonly example: string;
  /** Messages (header_*, presence) or lines (the others) of this window. */
  readonly n: number;
  /** Chance of this or more without a change, times the comparisons made in the window. */
  readonly chance: number;
}

/** One false alarm in ten thousand windows, over all comparisons of a window together. */
export const FALSE_ALARMS_PER_WINDOW = 1e-4;
/** A group with fewer messages waits for the next window, but not for ever. */
export const MESSAGES_MIN = 20;
const WAITS_MAX = 60;
/** Groups and directions remembered; the longest unused one makes room. */
const MODELS_MAX = 4_096;
/** Windows without traffic after which a group is forgotten. */
const IDLE_MAX = 1_440;
/** Changes in one answer; those beyond are counted. */
const CHANGES_MAX = 1_000;

interface Watched {
  readonly model: GroupModel;
  waiting: GroupState | null;
  waits: number;
  idle: number;
}

export class ChangeMonitor {
  /** Comparisons made so far, changes left out, and groups forgotten to make room. */
  comparisons = 0;
  omitted = 0;
  evicted = 0;
  /** What the models remember, all together. */
  readonly room = new ModelRoom();
  readonly #groups = new Map<string, Watched>();

  /** Compares a finished window, all at once. */
  window(state: HeaderState): Change[] {
    const comparing = this.compare(state);
    for (;;) {
      const step = comparing.next();
      if (step.done === true) return step.value;
    }
  }

  /**
   * Compares a finished window, learns it, and says what changed; a group or two in each step. Takes the states: they must not be changed
   * afterwards. The next window waits until this one is done.
   */
  *compare(state: HeaderState): Generator<void, Change[]> {
    const ready: { watched: Watched; group: GroupState }[] = [];
    for (const watched of this.#groups.values()) watched.idle++;
    for (const group of state.groups.values()) {
      const watched = this.#watched(groupId(group.key, group.direction));
      watched.idle = 0;
      const whole = joined(watched.waiting, group);
      if (whole.messages < MESSAGES_MIN && watched.waits < WAITS_MAX) {
        watched.waiting = whole;
        watched.waits++;
        continue;
      }
      watched.waiting = null;
      watched.waits = 0;
      ready.push({ watched, group: whole });
      yield;
    }
    let comparisons = 0;
    for (const { watched, group } of ready) {
      comparisons += watched.model.comparisons(group);
      yield;
    }
    this.comparisons += comparisons;
    const alpha = FALSE_ALARMS_PER_WINDOW / Math.max(1, comparisons);
    const at = new Date(state.to).toISOString();
    const changes: Change[] = [];
    for (const { watched, group } of ready) {
      yield;
      const { service, side, method, route } = group.key;
      for (const found of watched.model.compare(group, alpha)) {
        if (changes.length >= CHANGES_MAX) {
          this.omitted++;
          continue;
        }
        const { kind, name, before, after, example, n, surprise } = found;
        const chance = Math.min(1, surprise * comparisons);
        changes.push({
          at,
          kind,
          service,
          side,
          method,
          route,
          direction: group.direction,
          name,
          before,
          after,
          example,
          n,
          chance,
        });
      }
    }
    for (const [id, { idle }] of this.#groups) if (idle > IDLE_MAX) this.#forget(id);
    return changes;
  }

  #watched(id: string): Watched {
    let watched = this.#groups.get(id);
    if (watched === undefined) {
      if (this.#groups.size >= MODELS_MAX) this.#evict();
      watched = { model: new GroupModel(this.room), waiting: null, waits: 0, idle: 0 };
      this.#groups.set(id, watched);
    }
    return watched;
  }

  #evict(): void {
    let victim = '';
    let idle = -1;
    for (const [id, watched] of this.#groups) {
      if (watched.idle <= idle) continue;
      victim = id;
      idle = watched.idle;
    }
    this.#forget(victim);
    this.evicted++;
  }

  #forget(id: string): void {
    this.#groups.get(id)!.model.forget();
    this.#groups.delete(id);
  }
}

function joined(waiting: GroupState | null, group: GroupState): GroupState {
  if (waiting === null) return group;
  waiting.merge(group);
  return waiting;
}
