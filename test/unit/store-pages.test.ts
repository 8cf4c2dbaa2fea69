/** Pages of an answer while the store goes on: calls come, hours are sealed, others ask. */
import { describe, expect, test } from 'vitest';
import { type CallQuery, queryCalls } from '../../src/query/calls.ts';
import type { StoreReader } from '../../src/store/reader.ts';
import { Folder } from '../rig/folder.ts';
import { HOUR, NOW_MS, numbered, StoreRig } from './store-rig.ts';

const BEFORE = 60;
const PAGE = 7;

const page = async (reader: StoreReader, query: CallQuery) => {
  const answer = await queryCalls(reader, query);
  if (!answer.ok) throw new Error(answer.error.message);
  return { targets: answer.value.calls.map(({ request }) => request!.target), next: answer.value.next };
};

/** A folder with calls in two sealed hours and in the live log. */
async function begun(folder: Folder): Promise<StoreRig> {
  const rig = await new StoreRig(folder.file('data')).open();
  for (let n = 0; n < BEFORE; n++) {
    rig.call({ ordinal: n + 1, request: { target: `/${n}` } });
    if (n % 6 === 5) await rig.tick(NOW_MS + n * 1_000 + (n >= 20 ? HOUR : 0) + (n >= 40 ? HOUR : 0));
  }
  return rig;
}

describe('pages, while between them calls come and the hour is sealed', () => {
  test.each([
    ['as the agent asks, with one reader', false, undefined],
    ['as a command asks, with a reader for each page', true, undefined],
    ['with a filter that has no column', false, 'size(request.path) > 1'],
  ])('%s: no call twice, none left out', async (_, fresh, filter) => {
    using folder = new Folder();
    const rig = await begun(folder);
    let reader = await rig.read();
    const found: string[] = [];
    let cursor: string | null = null;
    for (let n = 0; ; n++) {
      const query: CallQuery = { limit: PAGE, ...(filter && { filter }), ...(cursor !== null && { cursor }) };
      const one: Awaited<ReturnType<typeof page>> = await page(reader, query);
      found.push(...one.targets);
      cursor = one.next;
      if (cursor === null) break;
      // What comes now is newer than every page to come; the live log grows, is sealed, and another one begins.
      rig.call({ ordinal: 1_000 + n, request: { target: `/new/${n}` } });
      await rig.tick(NOW_MS + (3 + Math.floor(n / 2)) * HOUR + n * 1_000);
      if (fresh) {
        reader.close();
        reader = await rig.read();
      } else await reader.refresh();
    }
    expect(found).toEqual(numbered(0, BEFORE).reverse());
    const { targets } = await page(reader, { limit: 1_000 });
    expect(targets.length).toBeGreaterThan(BEFORE);
    expect(targets.slice(-BEFORE)).toEqual(found);
    reader.close();
    await rig.close(NOW_MS + 30 * HOUR);
  });
});

test('a question that is under way while others look again has its whole answer', async () => {
  using folder = new Folder();
  const rig = await begun(folder);
  const reader = await rig.read();
  const answers: Promise<string[]>[] = [];
  for (let n = 0; n < 6; n++) {
    answers.push(reader.holding(() => page(reader, { limit: 1_000 })).then(({ targets }) => targets));
    // The log has grown: its files in the scratch folder are made again. Every other time it is sealed.
    rig.call({ ordinal: 1_000 + n, request: { target: `/new/${n}` } });
    await rig.tick(NOW_MS + (3 + Math.floor(n / 2)) * HOUR + n * 1_000);
    await reader.refresh();
  }
  for (const [n, targets] of (await Promise.all(answers)).entries()) {
    expect(targets.slice(-BEFORE), `question ${n}`).toEqual(numbered(0, BEFORE).reverse());
    expect(targets.length, `question ${n}`).toBeGreaterThanOrEqual(BEFORE + n);
  }
  expect([...reader.damaged]).toEqual([]);
  reader.close();
  await rig.close(NOW_MS + 30 * HOUR);
});
