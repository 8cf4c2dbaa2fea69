import { describe, expect, it } from 'vitest';
import type { ExchangeRecord, FieldPair } from '../../model/record.ts';
import { calls, passages } from './legs.ts';
import { callText, ledgerText, legend, pageOf } from './render.ts';

const GATEWAY = 8787;
const PROVIDER = 9000;

function record(
  side: string,
  second: number,
  port: number,
  request: FieldPair[],
  response: FieldPair[],
  status = 200,
): ExchangeRecord {
  const head = { trailers: [], head_bytes: 100, body_bytes: 50 };
  return {
    type: 'exchange',
    id: `${side}-${second}`,
    ts: `2026-11-22T16:04:0${second}.123456789Z`,
    protocol: 'http/1.1',
    side,
    service: 'node',
    client: { address: '127.0.0.1', port: 40_000 + second },
    server: { address: '127.0.0.1', port },
    route: '/v1/chat/completions',
    request: {
      ...head,
      method: 'POST',
      target: '/v1/chat/completions',
      scheme: 'http',
      authority: 'x',
      headers: request,
    },
    response: { ...head, status, reason: status === 200 ? 'OK' : 'Service Unavailable', headers: response },
    outcome: 'complete',
    timing_ns: {
      first_request_byte: 0,
      last_request_byte: 1_000,
      first_response_byte: 41e6,
      last_response_byte: 42.5e6,
    },
    in_flight: 1,
    losses: [],
  };
}

const KEY = 'Bearer sk-[fp:9f86d081884c7d65]';
const inbound = record(
  'server',
  1,
  GATEWAY,
  [
    ['Host', '127.0.0.1:8787'],
    ['Authorization', KEY],
    ['X-Stainless-Runtime', 'node'],
    ['X-Long', 'Q'.repeat(120)],
  ],
  [
    ['content-type', 'application/json'],
    ['x-portkey-provider', 'openai'],
  ],
);
const failed = record(
  'client',
  2,
  PROVIDER,
  [
    ['host', '127.0.0.1:9000'],
    ['authorization', KEY],
  ],
  [['retry-after', '2']],
  503,
);
const retried = record(
  'client',
  3,
  PROVIDER,
  [
    ['host', '127.0.0.1:9000'],
    ['authorization', KEY],
    ['accept-language', '*'],
  ],
  [
    ['content-type', 'application/json'],
    ['set-cookie', '[fp:0123456789abcdef]'],
  ],
);
const [call] = calls([retried, failed, inbound], { gateway: GATEWAY, provider: PROVIDER });

const page = (width: number, colour = false) => pageOf({ width, colour });
const lines = (text: string): string[] => text.split('\n');

describe('legs', () => {
  it('gives each call the attempts that began while it was the latest, in order', () => {
    const second = { ...inbound, ts: '2026-11-22T16:04:05.000000000Z' };
    const other = { ...retried, ts: '2026-11-22T16:04:05.000000001Z' };
    const both = calls([other, second, retried, failed, inbound], { gateway: GATEWAY, provider: PROVIDER });
    expect(both).toEqual([
      { inbound, upstream: [failed, retried] },
      { inbound: second, upstream: [other] },
    ]);
  });

  it('leaves out what the other ends of the connections saw', () => {
    const seenByClient = { ...inbound, side: 'client' };
    const seenByProvider = { ...retried, side: 'server' };
    expect(calls([seenByClient, seenByProvider], { gateway: GATEWAY, provider: PROVIDER })).toEqual([]);
  });

  it('tells what became of each field, duplicates one by one', () => {
    const from: FieldPair[] = [
      ['A', '1'],
      ['B', '1'],
      ['C', '1'],
      ['C', '2'],
    ];
    const to: FieldPair[] = [
      ['c', '1'],
      ['b', '2'],
      ['D', '1'],
    ];
    expect(passages(from, to)).toEqual([
      { passage: 'dropped', from: ['A', '1'], to: null },
      { passage: 'rewritten', from: ['B', '1'], to: ['b', '2'] },
      { passage: 'forwarded', from: ['C', '1'], to: ['c', '1'] },
      { passage: 'dropped', from: ['C', '2'], to: null },
      { passage: 'added', from: null, to: ['D', '1'] },
    ]);
  });
});

describe('callText', () => {
  it('puts the legs side by side where there is room', () => {
    const text = callText(1, 'a call', call!, page(160));
    expect(text).toMatch(/client → gateway.*gateway → provider/);
    expect(text).toMatch(/Host: 127\.0\.0\.1:8787 +~ host: 127\.0\.0\.1:9000\n/);
    expect(text).toMatch(/Authorization: Bearer sk-\[fp:9f86d081884c7d65\] += authorization: Bearer sk-/);
    expect(text).toMatch(/X-Stainless-Runtime: node +-\n/);
    // Attempts in their order; only the last one's response is what the client got.
    expect(text).toMatch(/503 Service Unavailable[\s\S]*\n {20,}retry-after: 2\n[\s\S]*attempt 2[\s\S]*200 OK.*200 OK/);
    expect(text).toMatch(/content-type: application\/json += content-type: application\/json\n/);
  });

  it('puts them one below the other where there is not', () => {
    const text = callText(1, 'a call', call!, page(80));
    expect(text).toMatch(/ {2}client → gateway {2}127\.0\.0\.1:40001 → 8787\n/);
    expect(text).toMatch(/\n {2}~ Host: 127\.0\.0\.1:8787\n/);
    expect(text).toMatch(/\n {2}- X-Stainless-Runtime: node\n/);
    expect(text).toMatch(/\n {4}accept-language: \*\n/);
    expect(text).toMatch(/\n {2}\+ x-portkey-provider: openai\n/);
  });

  for (const width of [60, 80, 109, 110, 120, 160, 200]) {
    it(`stays within ${width} columns and loses no value`, () => {
      const text = callText(
        1,
        'a title that is rather long and does not fit into narrow terminals',
        call!,
        page(width),
      );
      for (const line of lines(text)) expect(line.length).toBeLessThan(width);
      expect(text.match(/Q/g)).toHaveLength(120);
      expect(text).toContain('503 Service Unavailable');
    });
  }

  it('has no escape sequence without colour, and none from the network with it', () => {
    const hostile = { ...call!, inbound: { ...inbound, request: { ...inbound.request!, target: '/\u001b[2J' } } };
    expect(callText(1, 'a', hostile, page(80))).not.toContain('\u001b');
    const painted = callText(1, 'a', hostile, page(80, true));
    expect(painted).toContain('\u001b[1m');
    expect(painted).not.toContain('\u001b[2J');
  });

  it('says what was not seen', () => {
    const lost = { inbound: { ...inbound, response: null, outcome: 'open' as const }, upstream: [] };
    for (const width of [80, 160]) {
      const text = callText(1, 'a', lost, page(width));
      expect(text).toContain('(no response: open)');
      expect(text).toContain('nothing went upstream');
    }
  });
});

describe('ledgerText', () => {
  const summary = { type: 'summary' as const, segments: 20, bytes: 4_000, connections: 4, exchanges: 3, losses: [] };
  const accounts = {
    summary,
    status: null,
    callsMade: 1,
    busyMade: 1_500,
    busyCaptured: 1_499,
    calls: [call!],
    records: [inbound, failed, retried],
  };

  it('counts calls, records and losses', () => {
    const text = ledgerText(accounts, page(80));
    expect(text).toContain('1 made, 1 captured, with 2 calls upstream');
    expect(text).toContain('1,500 made, 1,499 captured');
    expect(text).toContain("3: 1 at the server's end, 2 at the client's end");
    expect(text).toContain('3 of 3 records miss nothing');
    expect(text).toMatch(/losses +none\n/);
  });

  it('names what is missing', () => {
    const text = ledgerText(
      { ...accounts, summary: { ...summary, losses: [{ reason: 'ring_full', count: 2, bytes: 1_448 }] } },
      page(80),
    );
    expect(text).toContain('ring_full 2x, 1,448 bytes');
  });
});

it('explains the marks', () => {
  expect(legend(page(160))).toContain('= forwarded   ~ rewritten   + added   - dropped');
});
