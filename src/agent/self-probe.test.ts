import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import type { Exchange } from '../model/exchange.ts';
import { SelfProbe } from './self-probe.ts';

const exchange = (port: number, target: string | null): Exchange =>
  ({ connection: { server: { port } }, request: target === null ? null : { target } }) as unknown as Exchange;
const until = async (met: () => boolean): Promise<void> => {
  while (!met()) await sleep(1);
};

test('a call that is seen is taken, and nothing is wrong; calls to other ports and of others are not', async () => {
  const probe: SelfProbe = new SelfProbe({ inside: () => true, firstMs: 0 });
  const targets: string[] = [];
  const seeing: SelfProbe = new SelfProbe({
    inside: () => true,
    firstMs: 0,
    everyMs: 0,
    call: async (target, listening) => {
      listening(4_000);
      targets.push(target);
      expect(seeing.takes(exchange(4_001, target))).toBe(false);
      expect(seeing.takes(exchange(4_000, '/other'))).toBe(false);
      expect(seeing.takes(exchange(4_000, target))).toBe(true);
      return true;
    },
  });
  expect(probe.takes(exchange(80, '/'))).toBe(false);
  seeing.start();
  await until(() => targets.length >= 3);
  seeing.stop();
  expect([seeing.problem, new Set(targets).size]).toEqual(['', targets.length]);
});

test('calls that were answered but not seen: a problem, until one is seen again', async () => {
  let blind = true;
  let calls = 0;
  const probe: SelfProbe = new SelfProbe({
    inside: () => true,
    firstMs: 0,
    everyMs: 0,
    seenWithinMs: 1,
    call: async (target, listening) => {
      calls++;
      listening(4_000);
      if (!blind) probe.takes(exchange(4_000, target));
      return true;
    },
  });
  probe.start();
  await until(() => probe.problem !== '');
  expect(probe.problem).toContain('3 HTTP calls of the agent itself were not seen');
  expect(calls).toBeGreaterThanOrEqual(3);
  blind = false;
  await until(() => probe.problem === '');
  probe.stop();
});

test('outside of what is observed, and where no call can be made, nothing is said', async () => {
  let asked = 0;
  const outside = new SelfProbe({
    inside: () => ++asked < 0,
    firstMs: 0,
    everyMs: 0,
    call: () => Promise.reject(new Error('not to be made')),
  });
  outside.start();
  await until(() => asked > 2);
  outside.stop();
  let made = 0;
  const failing = new SelfProbe({
    inside: () => true,
    firstMs: 0,
    everyMs: 0,
    call: async () => ++made < 0,
  });
  failing.start();
  await until(() => made > 2);
  failing.stop();
  expect([outside.problem, failing.problem]).toEqual(['', '']);
});

test('the call itself goes over loopback to a server that is gone afterwards', async () => {
  const probe: SelfProbe = new SelfProbe({ inside: () => true, firstMs: 0, seenWithinMs: 50 });
  probe.start();
  await until(() => probe.problem !== '');
  probe.stop();
  expect(probe.problem).toContain('not seen');
});
