/** What the windows before have taught about one group and direction, and what of a window contradicts it. */
import type { ChangeKind, ValueShare } from './changes.ts';
import { jensenShannon } from './distribution.ts';
import { explainedBy, looksLikeStamp } from './looks.ts';
import type { ModelRoom } from './model-room.ts';
import { NameModel } from './name-model.ts';
import { BUNCH, FADE, Share } from './share.ts';
import { type GroupState, NAMES_MAX, type NameState, ORDER_NAME } from './state.ts';

export interface Found {
  readonly kind: ChangeKind;
  readonly name: string;
  readonly before: number | string | null | readonly ValueShare[];
  readonly after: number | string | null | readonly ValueShare[];
  readonly example: string;
  readonly n: number;
  readonly surprise: number;
}

/** However sure it is, less than this is no change that anybody wants to hear of. */
const NEW_SHARE_MIN = 0.01;
const NEW_COUNT_MIN = 5;
const PRESENCE_MIN = 0.05;
const PRESENCE_OF_ALL_MIN = 0.02;
const VALUE_GONE_MIN = 0.05;
const DISTRIBUTION_MIN = 0.15;
const DIVERGENCE_MIN = 0.03;
/** Windows that must be known before a shift of shares, or another time stamp or id in place of one, is called a change. */
const WINDOWS_FOR_SHIFT = 6;
const WINDOWS_FOR_STAMP = 4;
/** Where this share of the lines has a new value in every window, values come and go by themselves. */
export const CHURNING = 0.02;
/** A share this unlikely waits a window before it is learned: it may be a step in the middle of this one. */
const DOUBTFUL = 0.01;
/** Values shown of a distribution, and new or vanished values of one name in one window. */
const TOP = 5;
const VALUES_SHOWN = 8;

const all = (): boolean => true;
const NOTHING = new Share();

/** What the last window had of a name, not learned yet. */
interface Held {
  /** null: none of its messages had it. */
  readonly state: NameState | null;
  readonly messages: number;
  /** What a name that was never seen had before that window. */
  readonly never: Share;
}

export class GroupModel {
  /** Messages by window, as the trials of a share that is always 0: what a name that was never seen has. */
  #messages = new Share();
  readonly #names = new Map<string, NameModel>();
  readonly #order: NameModel;
  readonly #room: ModelRoom;
  /** Messages for each independent one: in the windows before (faded), or in this one if it has more. */
  #bunch = BUNCH;
  /** Independent messages so far, faded as #messages are. */
  #independent = 0;
  /** The last window had more names than room: one that is missing may have been there. */
  #overfull = false;
  /**
   * A change in the middle of a window is one step, which proves nothing: bursts of one client look so. What was always the same until then
   * is not learned for a window, so that the next one, which lies after the step, meets a model that does not know it yet.
   */
  readonly #held = new Map<string, Held>();
  readonly #unproven = new Set<string>();
  /** Names that this window was told to have anew: that there were messages without them is no part of their reference. */
  readonly #arrived = new Set<string>();
  #heldOrder: NameState | null = null;
  #orderUnproven = false;

  constructor(room: ModelRoom) {
    this.#room = room;
    this.#order = new NameModel(room);
  }

  /** Gives back the room of everything that was remembered. */
  forget(): void {
    for (const name of this.#names.keys()) this.#forget(name);
    this.#order.forgetValues();
    this.#dropHeld();
  }

  #dropHeld(): void {
    this.#room.held -= this.#held.size + (this.#heldOrder === null ? 0 : 1);
    this.#held.clear();
    this.#heldOrder = null;
  }

  #forget(name: string): void {
    this.#names.get(name)!.forgetValues();
    this.#names.delete(name);
    this.#room.names--;
  }

  /** How many things `compare` may call a change. */
  comparisons(group: GroupState): number {
    if (this.#messages.trials === 0) return 0;
    let count = 1 + group.order.values.size;
    for (const [name, state] of group.names) {
      const model = this.#names.get(name);
      count += 1 + (model === undefined ? 0 : state.values.size + model.values.size);
    }
    for (const name of this.#names.keys()) if (!group.names.has(name)) count++;
    return count;
  }

  /** What this window has that the model did not expect, each with a surprise below `alpha`; then learns the window. */
  compare(group: GroupState, alpha: number): Found[] {
    const found: Found[] = [];
    this.#unproven.clear();
    this.#arrived.clear();
    this.#orderUnproven = false;
    const usual = this.#independent === 0 ? 0 : this.#messages.trials / this.#independent;
    this.#bunch = Math.max(BUNCH, usual, group.messages / Math.max(1, group.independent));
    if (this.#messages.trials > 0) {
      for (const [name, state] of group.names) this.#name(name, state, group.messages, alpha, found);
      for (const [name, model] of this.#names) if (!group.names.has(name)) this.#gone(name, model, group, alpha, found);
      this.#reordered(group, alpha, found);
    }
    this.#learnHeld(new Set(found.map(({ name }) => name)));
    this.#learn(group);
    return found;
  }

  #name(name: string, state: NameState, messages: number, alpha: number, found: Found[]): void {
    const model = this.#names.get(name);
    const share = state.messages / messages;
    if (model === undefined) {
      this.#unproven.add(name);
      if (this.#overfull || share < NEW_SHARE_MIN || state.messages < NEW_COUNT_MIN) return;
      const never = this.#held.get(name)?.never ?? Share.never(this.#messages);
      const surprise = never.surprise(state.messages, messages, this.#bunch);
      if (surprise >= alpha) return;
      const { example } = state;
      found.push({ kind: 'header_new', name, before: 0, after: share, example, n: messages, surprise });
      this.#unproven.delete(name);
      this.#arrived.add(name);
      return;
    }
    const before = model.presence.mean;
    const floor = before === 1 || before === 0 ? PRESENCE_OF_ALL_MIN : PRESENCE_MIN;
    if (share < 1 && model.presence.all) this.#unproven.add(name);
    if (Math.abs(share - before) >= floor) {
      const surprise = model.presence.surprise(state.messages, messages, this.#bunch);
      if (surprise < alpha) {
        const example = share > before ? state.example : model.example;
        found.push({ kind: 'presence', name, before, after: share, example, n: messages, surprise });
        model.presence = new Share();
        this.#unproven.delete(name);
      } else if (surprise < DOUBTFUL) this.#unproven.add(name);
    }
    this.#values(name, model, state, alpha, found);
  }

  #values(name: string, model: NameModel, state: NameState, alpha: number, found: Found[]): void {
    const n = state.lines;
    const changed: Found[] = [];
    const usual = model.top(TOP);
    const first = usual[0]?.value ?? null;
    const novel = model.novel(state, all);
    const isMuch = novel >= Math.max(NEW_COUNT_MIN, NEW_SHARE_MIN * n) && novel / n > model.novelty.mean;
    const noveltyIsNew = isMuch && model.novelty.surprise(novel, n, this.#bunch) < alpha;
    if (noveltyIsNew) {
      const never = model.never();
      for (const [value, { count, example }] of state.values) {
        if (model.values.has(value) || count < Math.max(NEW_COUNT_MIN, NEW_SHARE_MIN * n)) continue;
        if (first !== null && stampForStamp(model, first, value)) continue;
        const surprise = never.surprise(count, n, this.#bunch);
        if (surprise < alpha)
          changed.push({ kind: 'value_new', name, before: first, after: value, example, n, surprise });
      }
      const unlisted = state.rest / n;
      if (changed.length === 0 && unlisted > 0.5 && model.novelty.none) {
        // Something that had few values has a new one in every call: no single one of them is worth a line.
        const surprise = model.novelty.surprise(novel, n, this.#bunch);
        const { example } = state;
        changed.push({ kind: 'distribution', name, before: usual, after: topOf(state), example, n, surprise });
      }
    }
    if (model.novelty.mean <= CHURNING && !model.overfull) {
      for (const [value, { share, example }] of model.values) {
        if (state.values.has(value) || share.mean < VALUE_GONE_MIN) continue;
        const after = topOf(state)[0]?.value ?? null;
        if (after !== null && stampForStamp(model, value, after)) continue;
        const surprise = share.surprise(Math.min(state.error, n), n, this.#bunch);
        if (surprise < alpha)
          changed.push({ kind: 'value_vanished', name, before: value, after, example, n, surprise });
      }
      if (changed.length === 0) this.#shifted(name, model, state, alpha, usual, changed);
    }
    if (changed.length === 0) {
      if (novel > 0 && model.novelty.none) this.#unproven.add(name);
      return;
    }
    changed.sort((a, b) => a.surprise - b.surprise);
    found.push(...changed.slice(0, VALUES_SHOWN));
    this.#unproven.delete(name);
    model.changed();
  }

  #shifted(
    name: string,
    model: NameModel,
    state: NameState,
    alpha: number,
    usual: readonly ValueShare[],
    changed: Found[],
  ): void {
    const n = state.lines;
    if (model.novelty.windows < WINDOWS_FOR_SHIFT) return;
    let least = 1;
    for (const [value, { share }] of model.values) {
      const count = state.values.get(value)?.count ?? 0;
      if (Math.abs(count / n - share.mean) < DISTRIBUTION_MIN) continue;
      least = Math.min(least, share.surprise(count, n, this.#bunch));
    }
    if (least >= alpha || (jensenShannon(state, model.expected(n), false) ?? 0) < DIVERGENCE_MIN) return;
    const { example } = state;
    changed.push({ kind: 'distribution', name, before: usual, after: topOf(state), example, n, surprise: least });
  }

  #gone(name: string, model: NameModel, group: GroupState, alpha: number, found: Found[]): void {
    const before = model.presence.mean;
    const surprise = before < NEW_SHARE_MIN ? 1 : model.presence.surprise(0, group.messages, this.#bunch);
    if (surprise < alpha) {
      const { example } = model;
      found.push({ kind: 'header_vanished', name, before, after: 0, example, n: group.messages, surprise });
      this.#forget(name);
    } else if (model.presence.all) this.#unproven.add(name);
  }

  /** Names in another order than any that is known, where it is not only that some of them are missing or new. */
  #reordered(group: GroupState, alpha: number, found: Found[]): void {
    const state = group.order;
    const model = this.#order;
    const isNew = this.#isNewOrder(model);
    const n = state.lines;
    const novel = model.novel(state, isNew);
    this.#orderUnproven = novel > 0 && model.novelty.none;
    if (novel < Math.max(NEW_COUNT_MIN, NEW_SHARE_MIN * n)) return;
    if (model.novelty.surprise(novel, n, this.#bunch) >= alpha) return;
    const never = model.never();
    const before = model.top(1)[0]?.value ?? null;
    let shown = 0;
    for (const [value, { count, example }] of state.values) {
      if (model.values.has(value) || !isNew(value)) continue;
      if (count < Math.max(NEW_COUNT_MIN, NEW_SHARE_MIN * n)) continue;
      const surprise = never.surprise(count, n, this.#bunch);
      if (surprise >= alpha || ++shown > VALUES_SHOWN) continue;
      found.push({ kind: 'order', name: ORDER_NAME, before, after: value, example, n, surprise });
    }
    if (shown === 0) return;
    model.changed();
    this.#orderUnproven = false;
  }

  #isNewOrder(model: NameModel): (order: string) => boolean {
    const known = [...model.values.keys()].map((order) => order.split(', '));
    return (order) => !explainedBy(order.split(', '), known);
  }

  #learn(group: GroupState): void {
    const { messages } = group;
    this.#overfull = group.other !== null;
    if (this.#orderUnproven && this.#room.takeHeld()) this.#heldOrder = group.order;
    else this.#learnOrder(group.order, this.#messages.trials === 0);
    for (const name of this.#names.keys())
      if (!group.names.has(name) && !this.#hold(name, null, messages)) this.#learnAbsence(name, messages);
    for (const [name, state] of group.names)
      if (!this.#hold(name, state, messages))
        this.#learnName(name, state, messages, this.#arrived.has(name) ? NOTHING : this.#messages);
    this.#messages.add(0, messages);
    this.#independent = this.#independent * FADE + group.independent;
  }

  #hold(name: string, state: NameState | null, messages: number): boolean {
    if (!this.#unproven.has(name) || !this.#room.takeHeld()) return false;
    this.#held.set(name, { state, messages, never: Share.never(this.#messages) });
    return true;
  }

  /** Learns what the window before had of the names that waited; of those that have changed by now it was the change itself. */
  #learnHeld(changed: ReadonlySet<string>): void {
    for (const [name, { state, messages, never }] of this.#held) {
      if (changed.has(name)) continue;
      if (state === null) this.#learnAbsence(name, messages);
      else this.#learnName(name, state, messages, never);
    }
    if (this.#heldOrder !== null && !changed.has(ORDER_NAME)) this.#learnOrder(this.#heldOrder, false);
    this.#dropHeld();
  }

  #learnOrder(order: NameState, isFirst: boolean): void {
    // The first window has no orders to be explained by: its own most frequent ones stand for them.
    this.#order.learn(order, order.messages, isFirst ? ownOrders(order) : this.#isNewOrder(this.#order));
  }

  #learnAbsence(name: string, messages: number): void {
    const model = this.#names.get(name);
    if (model === undefined) return;
    model.presence.add(0, messages);
    if (model.presence.mean < 1e-5) this.#forget(name);
  }

  #learnName(name: string, state: NameState, messages: number, before: Share): void {
    let model = this.#names.get(name);
    if (model === undefined) {
      if (this.#names.size >= NAMES_MAX || !this.#room.takeName()) {
        this.#overfull = true;
        return;
      }
      model = new NameModel(this.#room);
      model.presence = Share.never(before);
      this.#names.set(name, model);
    }
    model.learn(state, messages, all);
  }
}

/** In a first window: whether an order came late and none of the early ones explains it. */
function ownOrders(order: NameState): (value: string) => boolean {
  const early: string[][] = [];
  for (const [value, { late }] of order.values) if (late === 0) early.push(value.split(', '));
  return (value) => !explainedBy(value.split(', '), early);
}

/** One time stamp or id in place of another, as long as few windows are known: it may change in every one of them. */
const stampForStamp = (model: NameModel, before: string, after: string): boolean =>
  (model.novelty.windows < WINDOWS_FOR_STAMP || !model.novelty.none) && looksLikeStamp(before) && looksLikeStamp(after);

function topOf(state: NameState): ValueShare[] {
  return [...state.values]
    .map(([value, { count }]) => ({ value, share: count / state.lines }))
    .sort((a, b) => b.share - a.share)
    .slice(0, TOP);
}
