import { describe, expect, test } from 'vitest';
import type { StatsEngine } from '../../src/stats/engine.ts';
import { StateSet } from '../../src/stats/state-set.ts';
import { type Call, FIRST_MINUTE, only, reportOf, StatsRig } from './stats-rig.ts';

const MINUTE = 60e9;
const MS = 1_000_000;

const at = (ns: number): Call => ({ times: [ns - 3 * MS, ns - 2 * MS, ns - MS, ns] });

describe('minutes', () => {
  const sealedCalls = (engine: StatsEngine): [minute: number, calls: number][] =>
    engine.sealed().map(({ minute, rows }) => {
      const set = new StateSet();
      for (const { key, state } of rows) expect(set.add(key, state)).toBeNull();
      return [minute - FIRST_MINUTE, [...set].reduce((sum, { state }) => sum + state.calls, 0)];
    });

  test('are sealed once they are over, and handed over once', () => {
    const rig = new StatsRig();
    rig.call(at(10e9));
    rig.call(at(MINUTE - 1));
    rig.call(at(MINUTE));
    rig.engine.advance(MINUTE + 1e9);
    expect(sealedCalls(rig.engine)).toEqual([]);
    rig.engine.advance(MINUTE + 2e9);
    expect(sealedCalls(rig.engine)).toEqual([[0, 2]]);
    expect(sealedCalls(rig.engine)).toEqual([]);
    rig.engine.finish();
    expect(sealedCalls(rig.engine)).toEqual([[1, 1]]);
    expect(only(rig.engine).calls).toBe(3);
  });

  test('merged they are what the engine has since the start', () => {
    const rig = new StatsRig();
    const set = new StateSet();
    const take = (): void => {
      for (const { rows } of rig.engine.sealed())
        for (const { key, state } of rows) expect(set.add(key, state)).toBeNull();
    };
    for (let i = 0; i < 2_000; i++) {
      const end = i * 0.5e9 + 1e9;
      rig.call({
        times: [end - 1 - (i % 37) * MS, end - (i % 11) * 1_000, end - (i % 3), end],
        status: i % 9 === 0 ? 500 : 200,
        route: `/r${i % 5}`,
        inFlight: 1 + (i % 20),
      });
      rig.engine.advance(end);
      take();
    }
    rig.engine.finish();
    take();
    expect(reportOf(set, 1_000)).toEqual(reportOf(rig.engine.states(), 1_000));
    const totals = new StateSet();
    for (const { key, sum } of rig.engine.totals()) for (const part of sum.parts) totals.merge(key, part);
    expect(reportOf(totals, 1_000)).toEqual(reportOf(set, 1_000));
    // Any range of whole minutes, from memory.
    const some = rig.engine.states((FIRST_MINUTE + 2) * 60_000, (FIRST_MINUTE + 4) * 60_000);
    expect([...some].reduce((sum, { state }) => sum + state.calls, 0)).toBe(240);
    // A range within a minute is answered by that minute.
    const within = rig.engine.states((FIRST_MINUTE + 2) * 60_000 + 10_000, (FIRST_MINUTE + 2) * 60_000 + 20_000);
    expect([...within].reduce((sum, { state }) => sum + state.calls, 0)).toBe(120);
  });

  test('of thousands of series are sealed a few at a time, and nothing is missing meanwhile', () => {
    const rig = new StatsRig();
    for (let i = 0; i < 1_000; i++) rig.call({ route: `/r${i}`, ...at(10e9) });
    const inMemory = (): number => {
      const all = [...rig.engine.states()].reduce((sum, { state }) => sum + state.calls, 0);
      const minute = [...rig.engine.states(FIRST_MINUTE * 60_000, (FIRST_MINUTE + 1) * 60_000)];
      expect(minute.reduce((sum, { state }) => sum + state.calls, 0)).toBe(all);
      return all;
    };
    rig.engine.advance(70e9);
    expect(sealedCalls(rig.engine)).toEqual([]);
    expect(inMemory()).toBe(1_000);
    // Late calls of series that are sealed already, and of some that are not.
    for (let i = 0; i < 1_000; i += 10) rig.call({ route: `/r${i}`, ...at(20e9) });
    expect(inMemory()).toBe(1_100);
    rig.engine.advance(71e9);
    rig.engine.advance(72e9);
    expect(sealedCalls(rig.engine)).toEqual([]);
    rig.engine.advance(73e9);
    rig.engine.advance(74e9);
    expect(sealedCalls(rig.engine)).toEqual([[0, 1_100]]);
    expect(inMemory()).toBe(1_100);
  });

  test('a late call opens its minute again: counts stay with their minute', () => {
    const rig = new StatsRig();
    rig.call(at(10e9));
    rig.engine.advance(5 * MINUTE);
    rig.call(at(20e9));
    rig.call(at(5 * MINUTE));
    rig.engine.advance(5 * MINUTE + 1e9);
    rig.engine.finish();
    expect(sealedCalls(rig.engine)).toEqual([
      [0, 1],
      [0, 1],
      [5, 1],
    ]);
    expect(rig.engine.health().clock.reopened).toBe(1);
  });

  test('a clock that steps forward by years and back costs nothing and is counted', () => {
    const rig = new StatsRig();
    const year = 365 * 24 * 60 * MINUTE;
    rig.call(at(10e9));
    rig.engine.advance(11e9);
    rig.call(at(5 * year));
    rig.engine.advance(5 * year);
    for (let minute = 1; minute < 10; minute++) {
      rig.call(at(minute * MINUTE));
      rig.engine.advance(minute * MINUTE);
    }
    rig.engine.advance(-MINUTE);
    rig.call(at(-1));
    rig.engine.finish();
    const sealed = sealedCalls(rig.engine);
    expect(sealed.reduce((sum, [, calls]) => sum + calls, 0)).toBe(12);
    expect(sealed.map(([minute]) => minute)).toEqual(expect.arrayContaining([0, 1, 9, 5 * 365 * 24 * 60, -1]));
    expect(rig.engine.health().clock).toMatchObject({ forward: 1, back: 2 });
  });

  test('that nobody takes are bounded and counted', () => {
    const rig = new StatsRig({ limits: { recentBytes: 4_000 } });
    for (let minute = 0; minute < 200; minute++) {
      rig.call(at(minute * MINUTE + 1));
      rig.engine.advance((minute + 1) * MINUTE + 2e9);
    }
    const sealed = rig.engine.sealed();
    expect(sealed.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(4_000);
    expect(rig.engine.health().minutes_untaken).toBe(200 - sealed.length);
    expect(only(rig.engine).calls).toBe(200);
  });
});
