/**
 * What is done to a parsed filter before it is checked: its cost is bounded (a viewer's filter runs in the process that
 * captures, over text that an attacker wrote), patterns go to the linear engine, and header names are lower-cased.
 */
import { compileLinear } from './linear-regexp.ts';

/** A node of the CEL engine's tree, as far as it is used here. */
export interface CelNode {
  readonly op: string;
  args: unknown;
  readonly start: number;
  readonly end: number;
  readonly meta: { readonly alternate?: CelNode; readonly macro?: unknown };
}

export interface Refusal {
  readonly message: string;
  readonly start: number;
  readonly end: number;
}

/** Node evaluations a filter may cost for a call with UNKNOWN_LENGTH header fields. */
const COST_MAX = 5_000;
/** Assumed length of a list or map that is not written out. */
const UNKNOWN_LENGTH = 100;
/** These build text or lists whose size no bound on the filter's length can hold. */
const REFUSED_METHODS = new Set(['bind', 'join', 'json']);

/** Changes `root` in place; returns what forbids it, or null. */
export function prepare(root: CelNode): Refusal | null {
  const walk = new Walk();
  const cost = walk.cost(root);
  if (walk.refusal !== null) return walk.refusal;
  if (cost <= COST_MAX) return null;
  return {
    message: 'the filter is too expensive: it would loop inside a loop over headers',
    start: root.start,
    end: root.end,
  };
}

const isNode = (value: unknown): value is CelNode =>
  value !== null && typeof value === 'object' && 'op' in value && 'meta' in value;

const isHeaders = (value: unknown): boolean =>
  isNode(value) && value.op === '.' && Array.isArray(value.args) && value.args[1] === 'headers';

const isText = (value: unknown): value is CelNode & { args: string } =>
  isNode(value) && value.op === 'value' && typeof value.args === 'string';

class Walk {
  refusal: Refusal | null = null;

  cost(node: CelNode): number {
    if (node.meta.alternate !== undefined) return this.cost(node.meta.alternate);
    if (node.op === 'comprehension') return this.#loop(node);
    this.#rewrite(node);
    return 1 + this.#children(node.args);
  }

  #loop(node: CelNode): number {
    const { iterable, step } = node.args as { iterable: CelNode; step: CelNode };
    const length = iterable.op === 'list' && Array.isArray(iterable.args) ? iterable.args.length : UNKNOWN_LENGTH;
    return 1 + this.cost(iterable) + length * this.cost(step);
  }

  #children(args: unknown): number {
    if (isNode(args)) return this.cost(args);
    if (!Array.isArray(args)) return 0;
    let sum = 0;
    for (const arg of args) sum += this.#children(arg);
    return sum;
  }

  #rewrite(node: CelNode): void {
    if (!Array.isArray(node.args)) return;
    const args = node.args as unknown[];
    if (node.op === 'rcall' || node.op === 'call') this.#call(node, args);
    // Field names do not depend on case (RFC 9110 5.1); the map holds them in lower case.
    if (node.op === '[]' && isHeaders(args[0]) && isText(args[1])) args[1].args = args[1].args.toLowerCase();
    if (node.op === 'in' && isHeaders(args[1]) && isText(args[0])) args[0].args = args[0].args.toLowerCase();
    if (node.op === '.' && isHeaders(args[0])) args[1] = String(args[1]).toLowerCase();
  }

  #call(node: CelNode, args: unknown[]): void {
    const method = args[0];
    if (REFUSED_METHODS.has(String(method))) {
      this.#refuse(node, `${String(method)}() is not available in filters`);
    }
    if (node.op !== 'rcall' || method !== 'matches') return;
    args[0] = 'matchesLinear';
    const pattern = (args[2] as unknown[])[0];
    if (isText(pattern) && compileLinear(pattern.args) === null) {
      this.#refuse(
        pattern,
        'not a regular expression, or one that cannot be matched in linear time (no backreferences, no look-ahead)',
      );
    }
  }

  #refuse(node: CelNode, message: string): void {
    this.refusal ??= { message, start: node.start, end: node.end };
  }
}
