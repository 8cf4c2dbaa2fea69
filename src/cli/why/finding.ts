/** What `why` answers with. */

export type Verdict = 'seen' | 'partly' | 'unseen' | 'unknown';

export interface WhyFinding {
  /** Stable name of the reason. */
  readonly id: string;
  readonly verdict: Verdict;
  /** What is so, and why. */
  readonly text: string;
  /** What to do; "" when nothing is to do. */
  readonly todo: string;
}

export const finding = (id: string, verdict: Verdict, text: string, todo = ''): WhyFinding => ({
  id,
  verdict,
  text,
  todo,
});
export const plural = (n: number, one: string, many = `${one}s`): string => `${n} ${n === 1 ? one : many}`;
/** The first few, and how many more there are. */
export const list = (items: readonly (string | number)[], max = 8): string =>
  items.slice(0, max).join(', ') + (items.length > max ? `, and ${items.length - max} more` : '');
