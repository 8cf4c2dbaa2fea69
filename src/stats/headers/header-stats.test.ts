import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Blocks, type Pairs, random, Traffic } from '../../../test/fixtures/header-traffic.ts';
import { decodeHeaders, encodeHeaders } from './codec.ts';
import { HeaderGroup } from './header-stats.ts';
import { headerBlocks, headerRows } from './rows.ts';
import { GROUPS_MAX, type GroupState, HeaderState, NAMES_MAX, VALUES_KEPT } from './state.ts';

const only = (state: HeaderState): GroupState => [...state.groups.values()][0]!;
const rowOf = (traffic: Traffic, state: HeaderState, name: string, reference: HeaderState | null = null) =>
  headerRows(state, traffic.group.key, reference).find((row) => row.name === name)!;

describe('counts are exact, whether a block comes as a known shape or line by line', () => {
  const name = fc.constantFrom('Host', 'host', 'X-A', 'X-B', 'Set-Cookie', 'X-C');
  const value = fc.oneof(fc.constantFrom('1', '2', 'a longer value', ''), fc.nat(400).map(String));
  const block = fc.array(fc.tuple(name, value), { maxLength: 8 });
  const stream = fc.array(
    fc.oneof(
      block,
      fc.constant([
        ['Host', 'a'],
        ['X-A', '1'],
      ] as [string, string][]),
    ),
    { minLength: 1, maxLength: 120 },
  );

  test('messages, lines, repeats, values, lengths, distinct, orders, sizes', () => {
    fc.assert(
      fc.property(stream, (blocks) => {
        const traffic = new Traffic();
        for (const pairs of blocks) traffic.send(pairs);
        const whole = traffic.stats.state(1e9);
        const group = only(whole);
        expect(group.messages).toBe(blocks.length);
        const names = new Set(blocks.flat().map(([raw]) => raw.toLowerCase()));
        expect(new Set(group.names.keys())).toEqual(names);
        for (const lower of names) {
          const state = group.names.get(lower)!;
          const lines = blocks.map((pairs) => pairs.filter(([raw]) => raw.toLowerCase() === lower).map(([, v]) => v));
          const all = lines.flat();
          expect(state.messages).toBe(lines.filter((values) => values.length > 0).length);
          expect(state.lines).toBe(all.length);
          expect(state.repeated).toBe(lines.filter((values) => values.length > 1).length);
          expect(state.linesMax).toBe(Math.max(...lines.map((values) => values.length)));
          expect(state.lengths.max).toBe(Math.max(...all.map((v) => v.length)));
          expect(state.distinct.count()).toBe(new Set(all).size);
          if (lower === 'set-cookie') continue;
          for (const [text, { count }] of state.values) {
            const truth = all.filter((v) => v === text).length;
            expect(count).toBeLessThanOrEqual(truth);
            expect(truth - count).toBeLessThanOrEqual(state.error);
          }
          for (const text of new Set(all))
            if (!state.values.has(text)) expect(all.filter((v) => v === text).length).toBeLessThanOrEqual(state.error);
        }
        const numberOf = (example: string): number => Number(/^call-(\d+)$/.exec(example)![1]);
        const rows = headerRows(whole, traffic.group.key, null);
        expect(rows).toHaveLength(names.size + 1);
        for (const { name, example } of rows) {
          const shown = blocks[numberOf(example) - 1]!.map(([raw]) => raw.toLowerCase());
          expect(name === ':order' || shown.includes(name), `${example} shows ${name}`).toBe(true);
        }
        const orders = blocks.map((pairs) => pairs.map(([raw]) => raw.toLowerCase()).join(', '));
        expect(group.order.distinct.count()).toBe(new Set(orders).size);
        expect(group.blockLines.max).toBe(Math.max(...blocks.map((pairs) => pairs.length)));
        const bytes = blocks.map((pairs) => pairs.reduce((sum, [raw, v]) => sum + raw.length + v.length + 4, 0));
        expect(group.blockBytes.max).toBe(Math.max(...bytes));
        expect(group.blockBytes.min).toBe(Math.min(...bytes));
        expect(group.blockBytes.total).toBe(blocks.length);
      }),
      { numRuns: 80 },
    );
  });
});

describe('rows', () => {
  test('classes, entropy, top values, presence, times', () => {
    const traffic = new Traffic();
    const { state } = traffic.window(1_000, (i) => [
      ['Host', 'a'],
      ['X-Mode', i % 4 === 0 ? 'slow' : 'fast'],
      ['X-Request-Id', `request ${i}`],
      ...(i % 10 === 0 ? [['X-Rare', 'yes'] as const] : []),
      ['X-Size', String(i % 200)],
    ]);
    expect(rowOf(traffic, state, 'host')).toMatchObject({
      direction: 'request',
      presence: 1,
      n: 1_000,
      distinct: 1,
      class: 'constant',
      entropy_bits: 0,
      entropy_normalised: 0,
      top: [{ value: 'a', count: 1_000, error: 0 }],
      length: { p50: 1, max: 1 },
      multiplicity: { repeated: 0, max: 1 },
      drift: null,
      first_seen: '2026-11-22T16:04:05.000Z',
      example: 'call-1',
    });
    const mode = rowOf(traffic, state, 'x-mode');
    expect(mode).toMatchObject({
      class: 'enum',
      distinct: 2,
      top: [
        { value: 'fast', count: 750, error: 0 },
        { value: 'slow', count: 250, error: 0 },
      ],
    });
    expect(mode.entropy_bits).toBeCloseTo(0.811278, 5);
    expect(mode.confidence).toBeGreaterThan(0.98);
    const id = rowOf(traffic, state, 'x-request-id');
    expect(id).toMatchObject({ class: 'identifier', presence: 1 });
    expect(id.entropy_bits).toBeCloseTo(Math.log2(1_000), 0);
    expect(rowOf(traffic, state, 'x-rare')).toMatchObject({ presence: 0.1, lines: 100 });
    expect(rowOf(traffic, state, 'x-size')).toMatchObject({ class: 'free', distinct: 200 });
    expect(headerBlocks(state, traffic.group.key)).toMatchObject([
      { direction: 'request', n: 1_000, lines: { p50: 4, max: 5 } },
    ]);
  });

  test('drift against an earlier window', () => {
    const traffic = new Traffic();
    const before = traffic.window(500, () => [
      ['X-Mode', 'fast'],
      ['X-Client', 'sdk'],
    ]).state;
    const same = traffic.window(500, (i) => [
      ['X-Mode', 'fast'],
      ['X-Client', 'sdk'],
      ['X-Request-Id', `id ${i}`],
    ]).state;
    expect(rowOf(traffic, same, 'x-mode', before).drift).toMatchObject({
      presence_z: 0,
      reference_n: 500,
      alarm: false,
    });
    expect(rowOf(traffic, same, 'x-mode', before).drift!.jensen_shannon).toBeLessThan(0.001);
    const later = traffic.window(500, (i) => [
      ['X-Mode', 'safe'],
      ...(i % 2 === 0 ? [['X-Client', 'sdk'] as const] : []),
    ]).state;
    expect(rowOf(traffic, later, 'x-mode', before).drift!.jensen_shannon).toBeGreaterThan(0.95);
    expect(rowOf(traffic, later, 'x-mode', before).drift!.alarm).toBe(true);
    expect(rowOf(traffic, later, 'x-client', before).drift!.presence_z).toBeLessThan(-15);
    const ids = traffic.window(500, (i) => [['X-Request-Id', `other ${i}`]]).state;
    expect(rowOf(traffic, ids, 'x-request-id', same).drift!.jensen_shannon).toBeLessThan(0.05);
    const few = traffic.window(5, () => [['X-Mode', 'safe']]).state;
    expect(rowOf(traffic, few, 'x-mode', before).drift!.jensen_shannon).toBeNull();
  });

  test('no credential is anywhere, and two of them are told apart', () => {
    const traffic = new Traffic();
    const secret = (i: number) => `sk-proj-thisisafakekeynumber${i}ofatest0123456789`;
    const { state } = traffic.window(300, (i) => [
      ['Authorization', `Bearer ${secret(i % 3)}`],
      ['X-Unknown', i % 2 === 0 ? 'plain' : secret(9)],
      ['Cookie', `session=${secret(i)}`],
    ]);
    const bytes = Buffer.from(encodeHeaders(state));
    expect(bytes.includes('thisisafake')).toBe(false);
    expect(bytes.includes('[fp:')).toBe(true);
    const row = rowOf(traffic, state, 'authorization');
    expect(row).toMatchObject({ distinct: 3, class: 'enum' });
    for (const { value } of row.top) expect(value).toMatch(/^Bearer sk-proj-\[fp:[0-9a-f]{16}\]$/);
    expect(JSON.stringify(headerRows(state, traffic.group.key, null))).not.toContain('thisisafake');
  });
});

describe('states', () => {
  const mixed = (seed: number, calls: number): { traffic: Traffic; state: HeaderState } => {
    const traffic = new Traffic();
    const next = random(seed);
    const { state } = traffic.window(calls, (i) => [
      ['Host', 'a'],
      ['X-Mode', next() < 0.3 ? 'slow' : 'fast'],
      ['X-Request-Id', `request ${seed} ${i}`],
      ['X-Size', 'x'.repeat(Math.floor(next() * 300))],
      ...(next() < 0.5 ? [['X-Name', `name ${Math.floor(next() * 100)}`] as const] : []),
    ]);
    return { traffic, state };
  };

  test('merged states are what one window would have been', () => {
    const traffic = new Traffic();
    const message = (i: number): Pairs => [
      ['Host', 'a'],
      ['X-Mode', i % 3 === 0 ? 'slow' : 'fast'],
      ['X-N', String(i % 40)],
    ];
    const whole = traffic.window(900, message).state;
    const parts = [0, 300, 600].map((from) => traffic.window(300, (i) => message(from + i)).state);
    const merged = new HeaderState();
    for (const part of parts) merged.merge(part);
    const shown = (state: HeaderState) =>
      headerRows(state, traffic.group.key, null).map(({ first_seen: _f, last_seen: _l, example: _e, ...row }) => ({
        ...row,
        top: new Set(row.top.filter(({ count }) => count > 100).map(({ value, count }) => `${value} ${count}`)),
      }));
    expect(shown(merged)).toEqual(shown(whole));
    expect(only(merged).names.get('x-n')!.values.size).toBe(40);
  });

  test('come back from bytes as they were, but for what is left out on purpose', () => {
    fc.assert(
      fc.property(fc.nat(1_000), fc.constantFrom(1, 30, 200, 3_000), (seed, calls) => {
        const { traffic, state } = mixed(seed, calls);
        const decoded = decodeHeaders(encodeHeaders(state));
        if (!decoded.ok) throw new Error(decoded.problem);
        const rows = headerRows(state, traffic.group.key, null);
        const back = headerRows(decoded.state, traffic.group.key, null);
        expect(back.length).toBe(rows.length);
        rows.forEach((row, i) => {
          const other = back[i]!;
          expect({
            ...other,
            distinct: 0,
            distinct_exact: false,
            entropy_bits: 0,
            entropy_normalised: 0,
            confidence: 0,
          }).toEqual({
            ...row,
            distinct: 0,
            distinct_exact: false,
            entropy_bits: 0,
            entropy_normalised: 0,
            confidence: 0,
          });
          if (row.distinct <= 128) expect(other.distinct).toBe(row.distinct);
          else expect(Math.abs(other.distinct / row.distinct - 1)).toBeLessThan(0.08);
        });
        expect(encodeHeaders(decoded.state).length).toBe(encodeHeaders(state).length);
      }),
      { numRuns: 25 },
    );
  });

  test('hostile bytes give a problem or a state that works', () => {
    const { traffic, state } = mixed(1, 300);
    const good = encodeHeaders(state);
    const edits = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(edits, fc.oneof(fc.constant(good.length), fc.nat(good.length)), (changes, length) => {
        const bytes = good.slice(0, length);
        for (const [at, byte] of changes) if (at < length) bytes[at] = byte;
        const decoded = decodeHeaders(bytes);
        if (!decoded.ok) {
          expect(decoded.problem).toMatch(/^Cannot read header statistics/);
          return;
        }
        headerRows(decoded.state, traffic.group.key, state);
        const merged = new HeaderState();
        merged.merge(state);
        merged.merge(decoded.state);
        headerRows(merged, traffic.group.key, null);
        encodeHeaders(merged);
      }),
      { numRuns: 3_000 },
    );
    expect(decodeHeaders(new Uint8Array())).toMatchObject({ ok: false });
    expect(decodeHeaders(Uint8Array.from([0x48, 9]))).toMatchObject({
      ok: false,
      problem: expect.stringContaining('version 9'),
    });
    expect(decodeHeaders(Uint8Array.from([0x48, 1, 255, 255, 255, 255, 255, 255, 255, 15]))).toMatchObject({
      ok: false,
    });
  });
});

describe('hostile traffic stays within the bounds, and what found no room is counted', () => {
  test('a million header names', () => {
    const traffic = new Traffic({ bytesMax: 4 << 20 });
    const lines = 20;
    const messages = 50_000;
    for (let i = 0; i < messages; i++) {
      traffic.send([['Host', 'a'], ...Array.from({ length: lines }, (_, j) => [`x-${i}-${j}`, 'v'] as const)]);
    }
    expect(traffic.stats.bytes).toBeLessThanOrEqual(4 << 20);
    const { state, changes } = traffic.stats.rotate(1e9);
    const group = only(state);
    expect(group.names.size).toBe(NAMES_MAX);
    expect(group.other!.lines).toBe(messages * lines - (NAMES_MAX - 1));
    expect(group.other!.messages).toBeGreaterThan(messages - NAMES_MAX);
    expect(group.names.get('host')!.messages).toBe(messages);
    expect(traffic.stats.overflow.lines).toBe(group.other!.lines);
    expect(rowOf(traffic, state, ':other')).toMatchObject({ class: 'free', confidence: 0 });
    expect(changes).toEqual([]);
    expect(decodeHeaders(encodeHeaders(state))).toMatchObject({ ok: true });
  });

  test('values of 64 KiB, and the same name a thousand times', () => {
    const traffic = new Traffic();
    const big = (i: number): string => 'word '.repeat(13_107) + i;
    for (let i = 0; i < 300; i++) traffic.send([['X-Big', big(i)]]);
    for (let i = 0; i < 300; i++) traffic.send(Array.from({ length: 1_000 }, (_, j) => ['X-Many', String(j)] as const));
    expect(traffic.stats.bytes).toBeLessThan(1 << 20);
    const { state } = traffic.stats.rotate(1e9);
    const bigState = only(state).names.get('x-big')!;
    expect(bigState.distinct.count()).toBe(300);
    for (const text of bigState.values.keys()) expect(text.length).toBeLessThanOrEqual(160);
    expect(bigState.lengths.max).toBe(65_538);
    expect(only(state).names.get('x-many')).toMatchObject({
      messages: 300,
      repeated: 300,
      linesMax: 1_000,
      lines: 300_000,
    });
    expect(encodeHeaders(state).length).toBeLessThan(64 << 10);
  });

  test('long values that begin alike are told apart by a tag', () => {
    const traffic = new Traffic();
    const { state } = traffic.window(100, (i) => [['X-Long', 'word '.repeat(100) + (i % 2)]]);
    expect(only(state).names.get('x-long')!.values.size).toBe(2);
  });

  test('groups beyond the bound go to the group other', () => {
    const traffic = new Traffic();
    const pairs: Pairs = [['Host', 'a']];
    for (let i = 0; i < GROUPS_MAX + 100; i++) {
      const group = new HeaderGroup({ service: 'api', side: 'server', method: 'GET', route: `/${i}` });
      traffic.send(pairs, group);
    }
    const { state } = traffic.stats.rotate(1e9);
    expect(state.groups.size).toBeLessThanOrEqual(GROUPS_MAX);
    expect(traffic.stats.overflow.messages).toBe(102);
    const sum = [...state.groups.values()].reduce((total, group) => total + group.messages, 0);
    expect(sum).toBe(GROUPS_MAX + 100);
    expect([...state.groups.values()].at(-1)).toMatchObject({ key: { route: 'other' }, messages: 102 });
  });

  test('when the bytes are spent, counting goes on in what is there', () => {
    const traffic = new Traffic({ bytesMax: 20_000 });
    const { state } = traffic.window(5_000, (i) => [
      ['Host', 'a'],
      ...Array.from({ length: 12 }, (_, j) => [`X-Id-${j}`, `${i} ${j}`] as const),
    ]);
    expect(traffic.stats.overflow.refused).toBeGreaterThan(0);
    const group = only(state);
    expect(group.names.get('host')).toMatchObject({ messages: 5_000, lines: 5_000 });
    expect(group.messages).toBe(5_000);
    const lines = [...group.names.values(), ...(group.other === null ? [] : [group.other])];
    expect(lines.reduce((sum, name) => sum + name.lines, 0)).toBe(13 * 5_000);
  });

  test('names without an id of their own are told apart by their text', () => {
    const blocks = new Blocks(2);
    const traffic = new Traffic();
    const id = (): string => 'x';
    for (let i = 0; i < 10; i++)
      traffic.stats.observe(
        traffic.group,
        'request',
        blocks.of([
          ['A', '1'],
          ['B', '1'],
          ['C', '1'],
          ['D', '1'],
        ]),
        id,
        i,
      );
    const group = only(traffic.stats.state(1e9));
    expect([...group.names].map(([name, state]) => `${name} ${state.lines}`)).toEqual(['a 10', 'b 10', 'c 10', 'd 10']);
  });
});

test('a state keeps the most frequent values, with an error that holds', () => {
  const traffic = new Traffic();
  const truth = new Map<string, number>();
  const merged = new HeaderState();
  const next = random(5);
  for (let w = 0; w < 10; w++) {
    merged.merge(
      traffic.window(2_000, () => {
        const value = `v${Math.floor(1_000 * next() ** 4)}`;
        truth.set(value, (truth.get(value) ?? 0) + 1);
        return [['X-Zipf', value]];
      }).state,
    );
  }
  const name = only(merged).names.get('x-zipf')!;
  expect(name.values.size).toBeLessThanOrEqual(VALUES_KEPT);
  for (const [value, count] of truth) {
    const lower = name.values.get(value)?.count ?? 0;
    expect(lower).toBeLessThanOrEqual(count + 1e-9);
    expect(count - lower).toBeLessThanOrEqual(name.error + 1e-9);
  }
  const best = [...truth].sort(([, a], [, b]) => b - a)[0]![0];
  expect([...name.values].sort(([, a], [, b]) => b.count - a.count)[0]![0]).toBe(best);
});
