import { expect, test } from 'vitest';
import { policy } from '../../test/unit/log-rig.ts';
import { ANCHOR, exchangeOf } from '../../test/unit/store-rig.ts';
import { redactor } from '../redact/redacted.ts';
import { CHANGE_KINDS } from '../stats/headers/changes.ts';
import { Statistics } from './statistics.ts';

const SECOND_NS = 1e9;

test('changes of a service are counted from 0 on, each kind, once it had a window: the first one is an increase', () => {
  const statistics = new Statistics({ anchor: ANCHOR, id: () => '', key: Buffer.alloc(32, 7), windowNs: SECOND_NS });
  const redact = redactor(policy());
  const counts = (): [string, number][] =>
    [...statistics.changeCounts.values()].map(({ side, kind, count }) => [`${side} ${kind}`, count]);
  const { side } = exchangeOf({ ordinal: 1 }).connection;
  /** A window of 200 calls. */
  const window = (n: number, more: [string, string][]): void => {
    for (let i = 0; i < 200; i++) {
      const at = n * SECOND_NS + i * 1e6;
      statistics.tick(at);
      const headers: [string, string][] = [['Host', 'a.example'], ...more];
      statistics.observe(redact(exchangeOf({ ordinal: i + 1, request: { headers, first: at, last: at } })));
    }
    statistics.tick((n + 1) * SECOND_NS);
    statistics.work(Number.POSITIVE_INFINITY);
  };
  expect(counts()).toEqual([]);
  window(0, []);
  expect(counts()).toEqual(CHANGE_KINDS.map((kind) => [`${side} ${kind}`, 0]));
  for (let n = 1; n < 6; n++) window(n, []);
  window(6, [['X-New', 'yes']]);
  expect(new Map(counts()).get(`${side} header_new`)).toBe(1);
});
