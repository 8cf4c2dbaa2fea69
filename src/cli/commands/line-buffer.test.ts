import { expect, test } from 'vitest';
import { LineBuffer } from './line-buffer.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
async function* numbers(n: number, taken: number[] = []): AsyncIterable<string> {
  for (let i = 0; i < n; i++) {
    if (i % 3 === 0) await turn();
    taken.push(i);
    yield `${i}`.padStart(10);
  }
}
const all = async (buffer: LineBuffer, slow = false): Promise<number[]> => {
  const lines: number[] = [];
  for await (const line of buffer.lines()) {
    lines.push(Number(line));
    if (slow) await turn();
  }
  return lines;
};

test('every line once and in order, whether read at once, late or slowly', async () => {
  const expected = Array.from({ length: 500 }, (_, i) => i);
  expect(await all(new LineBuffer(numbers(500)))).toEqual(expected);
  const late = new LineBuffer(numbers(500));
  for (let i = 0; i < 400; i++) await turn();
  expect(await all(late)).toEqual(expected);
  expect(await all(new LineBuffer(numbers(500), 100), true)).toEqual(expected);
});

test('takes no more than its bound from a source that nobody reads', async () => {
  const taken: number[] = [];
  const buffer = new LineBuffer(numbers(1_000, taken), 200);
  for (let i = 0; i < 400; i++) await turn();
  expect(taken.length).toBe(21);
  expect(await all(buffer)).toHaveLength(1_000);
});

test('fails as its source does, after what came before', async () => {
  async function* broken(): AsyncIterable<string> {
    yield 'a';
    throw new Error('gone');
  }
  const seen: string[] = [];
  await expect(async () => {
    for await (const line of new LineBuffer(broken()).lines()) seen.push(line);
  }).rejects.toThrow('gone');
  expect(seen).toEqual(['a']);
});
