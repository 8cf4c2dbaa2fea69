import { describe, expect, test } from 'vitest';
import { Talk } from '../fixtures/pcap/talk.ts';
import { replayed } from '../rig/replay.ts';
import { said } from './replay-lines.ts';

/** A conversation, and what is said of it: calls, then what was lost. */
export type Case = [name: string, talk: () => Talk, says: string[]];

/** A connection that was just opened. */
export const o = (): Talk => new Talk().open();

/** What peers do on the wire that is odd, hostile or rare, and what the log says of it: RFC 9110, RFC 9112, docs/header-log.md. */
export function casesOf(about: string, cases: readonly Case[]): void {
  describe(about, () => {
    test.each(cases)('%s', async (_name, talk, says) => {
      expect(said(await replayed(talk().bytes()))).toEqual(says);
    });
  });
}
