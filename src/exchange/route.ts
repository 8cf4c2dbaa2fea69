/**
 * Endpoint templates: "/v1/users/7?x=1" is "/v1/users/{id}". segment-shape.ts says which segments look like ids; here a
 * tree for each service finds the ones that do not look it but are too many: when a segment would have more than
 * CHILDREN_MAX different values, the ones that are not well established become {id}, and every new one is {id} from
 * then on. Established ones (HITS_ESTABLISHED calls) stay, and so does what a call was answered for (not with 4xx) as long as only
 * calls that were not bring the others: a scanner trying names does not take the real endpoints away.
 *
 * Everything is bounded: what does not fit is OTHER_ROUTE and counted. Where a bound is met, what was learnt of services that nobody called
 * for an hour is forgotten: where every container is a service, they come and go.
 */
import { ID, segmentShape } from './segment-shape.ts';
import { authorityEnd, authorityStart } from './target.ts';

/** The template of what is over a bound, or is no path. */
export const OTHER_ROUTE = 'other';
/** Of CONNECT, whose target is a host and port; an extended CONNECT has a path (RFC 8441 4). */
export const CONNECT_ROUTE = '{authority}';
/** Stands for the segments beyond DEPTH_MAX. */
const REST = '{rest}';

export interface RouteLimits {
  /** Different values of one segment before it becomes {id}. */
  readonly children: number;
  /** Segments of a template. */
  readonly depth: number;
  /** Services with templates of their own; further ones share one tree. */
  readonly services: number;
  /** Templates of one service, and of all. */
  readonly serviceTemplates: number;
  readonly templates: number;
  /** Tree nodes of one service, and of all. */
  readonly serviceNodes: number;
  readonly nodes: number;
  /** Paths remembered with their template: twice as many at most (two generations). */
  readonly paths: number;
}

export const ROUTE_LIMITS: RouteLimits = {
  children: 50,
  depth: 16,
  services: 256,
  serviceTemplates: 1_024,
  templates: 4_096,
  serviceNodes: 4_096,
  nodes: 16_384,
  paths: 8_192,
};

/** Calls after which a segment's value stays a part of the template, however many others come. */
const HITS_ESTABLISHED = 100;
/** Longer paths are worked out each time. */
const PATH_LENGTH_MAX = 256;
/** A service without a call for so long makes room; looked for at most this often. */
const IDLE_NS = 3_600e9;
const LOOK_NS = 60e9;
/** Paths seen once lately, by hash: only the second sight is remembered, or unique ids would evict everything. */
const ONCE_SLOTS = 4_096;

class Node {
  parent: Node | null;
  /** Up to and with this node's segment. */
  template: string;
  /** A call that ended here or below was answered otherwise than with 4xx: there is such an endpoint. */
  proven = false;
  /** Children that nothing proves have gone to `any` once, and new ones go there. */
  swept = false;
  children: Map<string, Node> | null = null;
  /** Where ids go. */
  any: Node | null = null;
  /** No new children: they go to `any`. */
  closed = false;
  /** Calls that ended at this node. */
  hits = 0;
  /** It was given out as a template. */
  given = false;

  constructor(parent: Node | null, template: string) {
    this.parent = parent;
    this.template = template;
  }

  prove(): void {
    for (let node: Node | null = this; node !== null && !node.proven; node = node.parent) node.proven = true;
  }
}

/** What one service's tree holds. */
class Tree {
  readonly root = new Node(null, '');
  nodes = 1;
  templates = 0;
  /** The last call. */
  usedAt = 0;
  young = new Map<string, Node>();
  old = new Map<string, Node>();
}

/** The endpoint templates of all services. */
export class RouteTable {
  readonly #limits: RouteLimits;
  readonly #trees = new Map<string, Tree>();
  readonly #once = new Int32Array(ONCE_SLOTS);
  #nodes = 0;
  #templates = 0;
  #remembered = 0;
  #overflow = 0;
  #now = 0;
  #lookedAt = Number.NEGATIVE_INFINITY;

  constructor(limits: RouteLimits = ROUTE_LIMITS) {
    this.#limits = limits;
  }

  /** Templates given out and still in use, tree nodes, and calls that went to OTHER_ROUTE because of a bound. */
  get stats(): { templates: number; nodes: number; overflow: number } {
    return { templates: this.#templates, nodes: this.#nodes, overflow: this.#overflow };
  }

  /**
   * The template of `target` (any form, RFC 9112 3.2) of `method` at `service`. The query is never part of it. Costs one
   * map look-up for a path that comes again.
   *
   * @param proven the call shows that there is such an endpoint: it was not answered with 4xx
   * @param at when it was, ns since the anchor, or UNSEEN
   */
  route(service: string, method: string, target: string, proven = true, at = 0): string {
    if (method === 'CONNECT' && target.charCodeAt(0) !== 47) return CONNECT_ROUTE;
    const path = pathOf(target);
    if (path === '*') return path;
    if (path.charCodeAt(0) !== 47) return OTHER_ROUTE;
    if (at > this.#now) this.#now = at;
    const tree = this.#trees.get(service) ?? this.#plant(service);
    tree.usedAt = this.#now;
    const known = tree.young.get(path) ?? this.#promote(tree, path);
    if (known !== undefined) {
      known.hits++;
      return known.template;
    }
    const node = this.#find(tree, path, proven);
    if (node === null || !(node.given || this.#give(tree, node))) {
      this.#overflow++;
      this.#forgetIdle();
      return OTHER_ROUTE;
    }
    node.hits++;
    if (proven && !node.proven) node.prove();
    // Where an unproven one leads is not where the same path leads once there is something.
    if (proven && path.length <= PATH_LENGTH_MAX && this.#secondSight(path)) this.#remember(tree, path, node);
    return node.template;
  }

  #plant(service: string): Tree {
    if (this.#trees.size >= this.#limits.services) this.#forgetIdle();
    // All services beyond the bound share the tree of "", which is the one of connections without a known service.
    const name = this.#trees.size < this.#limits.services ? service : '';
    let tree = this.#trees.get(name);
    if (tree === undefined) {
      tree = new Tree();
      this.#trees.set(name, tree);
      this.#nodes++;
    }
    return tree;
  }

  #forgetIdle(): void {
    if (this.#now < this.#lookedAt + LOOK_NS) return;
    this.#lookedAt = this.#now;
    for (const [service, { usedAt, nodes, templates }] of this.#trees) {
      if (usedAt + IDLE_NS > this.#now) continue;
      this.#trees.delete(service);
      this.#nodes -= nodes;
      this.#templates -= templates;
    }
  }

  #promote(tree: Tree, path: string): Node | undefined {
    const node = tree.old.get(path);
    if (node !== undefined) {
      tree.old.delete(path);
      this.#remember(tree, path, node);
    }
    return node;
  }

  #remember(tree: Tree, path: string, node: Node): void {
    if (++this.#remembered > this.#limits.paths) {
      this.#remembered = 1;
      for (const t of this.#trees.values()) {
        t.old = t.young;
        t.young = new Map();
      }
    }
    tree.young.set(owned(path), node);
  }

  #secondSight(path: string): boolean {
    const hash = sample(path);
    const slot = (hash >>> 20) & (ONCE_SLOTS - 1);
    if (this.#once[slot] === hash) return true;
    this.#once[slot] = hash;
    return false;
  }

  /** The node of `path`, made where it is missing; null when a bound does not allow that. */
  #find(tree: Tree, path: string, proven: boolean): Node | null {
    let node = tree.root;
    let from = 1;
    for (let depth = 0; ; depth++) {
      const slash = path.indexOf('/', from);
      const deep = depth === this.#limits.depth;
      const text = deep ? REST : path.slice(from, slash < 0 ? undefined : slash);
      // What is a child is its own shape, so most segments need not be looked at.
      const next: Node | null =
        node.children?.get(text) ?? this.#step(tree, node, deep ? REST : segmentShape(text), proven);
      const last = deep || slash < 0;
      if (next === null || last) return next;
      node = next;
      from = slash + 1;
    }
  }

  #step(tree: Tree, node: Node, text: string, proven: boolean): Node | null {
    if (text !== ID) {
      const child = node.children?.get(text);
      if (child !== undefined) return child;
      const full = !node.closed && (node.children?.size ?? 0) >= this.#limits.children;
      if (full && !this.#sweep(tree, node) && proven) this.#close(tree, node);
    }
    if (text === ID || node.closed || (node.swept && !proven)) {
      if (node.any === null) {
        if (!this.#mayGrow(tree)) return null;
        node.any = this.#grow(tree, node, ID);
      }
      return node.any;
    }
    if (!this.#mayGrow(tree)) return null;
    const child = this.#grow(tree, node, owned(text));
    node.children ??= new Map();
    node.children.set(owned(text), child);
    return child;
  }

  #mayGrow(tree: Tree): boolean {
    return tree.nodes < this.#limits.serviceNodes && this.#nodes < this.#limits.nodes;
  }

  #grow(tree: Tree, parent: Node, text: string): Node {
    tree.nodes++;
    this.#nodes++;
    return new Node(parent, `${parent.template}/${text}`);
  }

  #give(tree: Tree, node: Node): boolean {
    if (tree.templates >= this.#limits.serviceTemplates || this.#templates >= this.#limits.templates) return false;
    tree.templates++;
    this.#templates++;
    node.given = true;
    return true;
  }

  /** Too many different children: those that are not established become one. */
  #close(tree: Tree, node: Node): void {
    node.closed = true;
    this.#collapse(tree, node, (child) => hitsBelow(child) < HITS_ESTABLISHED);
  }

  /** Before that, once: those that nothing proves become one. False: there were none, or it was done before. */
  #sweep(tree: Tree, node: Node): boolean {
    if (node.swept) return false;
    node.swept = true;
    const before = node.children!.size;
    this.#collapse(tree, node, (child) => !child.proven && hitsBelow(child) < HITS_ESTABLISHED);
    return node.children!.size < before;
  }

  #collapse(tree: Tree, node: Node, goes: (child: Node) => boolean): void {
    node.any ??= this.#grow(tree, node, ID);
    for (const [text, child] of node.children ?? []) {
      if (!goes(child)) continue;
      node.children!.delete(text);
      this.#merge(tree, child, node.any);
    }
    // Remembered paths may lead to nodes that are no more.
    tree.young.clear();
    tree.old.clear();
  }

  /** Moves everything below `from` to `to`, which takes its place. */
  #merge(tree: Tree, from: Node, to: Node): void {
    tree.nodes--;
    this.#nodes--;
    to.hits += from.hits;
    to.proven ||= from.proven;
    if (from.given && to.given) {
      tree.templates--;
      this.#templates--;
    }
    to.given ||= from.given;
    if (from.any !== null) {
      if (to.any === null) to.any = reprefixed(from.any, to, ID);
      else this.#merge(tree, from.any, to.any);
    }
    for (const [text, child] of from.children ?? []) {
      const same = to.children?.get(text);
      if (same !== undefined) this.#merge(tree, child, same);
      else if (to.closed) this.#merge(tree, child, to.any!);
      else {
        to.children ??= new Map();
        to.children.set(text, reprefixed(child, to, text));
        if (to.children.size > this.#limits.children && !this.#sweep(tree, to)) this.#close(tree, to);
      }
    }
  }
}

/** The path of any form of target; "" where there is none. */
function pathOf(target: string): string {
  let from = 0;
  if (target.charCodeAt(0) !== 47) {
    const authority = authorityStart(target);
    if (authority >= 0) from = authorityEnd(target, authority);
    if (from === target.length && from > 0) return '/';
  }
  const query = target.indexOf('?', from);
  // Nobody sends a fragment; if one is there it is no part of the path (RFC 9110 7.1).
  const fragment = target.indexOf('#', from);
  const to = Math.min(query < 0 ? target.length : query, fragment < 0 ? target.length : fragment);
  if (from === 0 && to === target.length) return target;
  return from > 0 && from === to ? '/' : target.slice(from, to);
}

function reprefixed(node: Node, parent: Node, text: string): Node {
  node.parent = parent;
  node.template = `${parent.template}/${text}`;
  if (node.any !== null) reprefixed(node.any, node, ID);
  for (const [below, child] of node.children ?? []) reprefixed(child, node, below);
  return node;
}

function hitsBelow(node: Node): number {
  let hits = node.hits;
  if (node.any !== null) hits += hitsBelow(node.any);
  for (const child of node.children?.values() ?? []) hits += hitsBelow(child);
  return hits;
}

/** A hash of at most 32 characters, ids being at the end more often than at the beginning. */
function sample(path: string): number {
  const { length } = path;
  let h = length;
  for (let i = length > 32 ? length - 32 : 0; i < length; i++) h = Math.imul(h ^ path.charCodeAt(i), 0x01000193);
  return h ^ (h >>> 15);
}

/** A copy that does not keep the head alive of which it is a slice. Targets are latin1. */
const owned = (text: string): string => {
  const copy = Buffer.from(text, 'latin1').latin1Slice();
  return copy === text ? copy : text;
};
