import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sampleRecord, sampleStatus } from '../../../test/fixtures/samples.ts';
import { OUTCOMES } from '../../model/exchange.ts';
import type { ExchangeRecord, WebSocketRecord } from '../../model/record.ts';
import { callLine, headerLines } from './call-line.ts';
import { duration, percent, shortBytes, uptime } from './numbers.ts';
import { statusText } from './status-text.ts';
import { cut, type Look, lookOf, safe, wrapWords } from './terminal.ts';
import { webSocketLine } from './websocket-line.ts';

const plain = (width: number): Look => ({ width, colour: false });
// biome-ignore lint/complexity/useRegexLiterals: a literal with an escape character trips other checks
const withoutColour = (text: string): string => text.replace(new RegExp('\\u001b\\[\\d+m', 'g'), '');

describe('numbers', () => {
  test.each([
    [0, '0ns'],
    [999, '999ns'],
    [1_000, '1.0us'],
    [1_900_000, '1.9ms'],
    [12_345_678, '12ms'],
    [999_000_000, '999ms'],
    [1_234_567_890, '1.2s'],
    [59.99e9, '59s'],
    [183e9, '3.0min'],
  ])('%d ns is %s', (ns, text) => expect(duration(ns)).toBe(text));

  test.each([
    [0, '0B'],
    [999, '999B'],
    [1_000, '1.0k'],
    [12_345, '12k'],
    [1_234_567, '1.2M'],
    [5e9, '5.0G'],
  ])('%d bytes are %s', (bytes, text) => expect(shortBytes(bytes)).toBe(text));

  test.each([
    [1, 1, '100 %'],
    [0, 0, '100 %'],
    [0, 5, '0.00 %'],
    [9_998, 10_000, '99.98 %'],
    [999_999, 1_000_000, '99.9999 %'],
    [999_999_999_999, 1_000_000_000_000, '99.99999 %'],
  ])('%d of %d is %s: never rounded up to all', (part, whole, text) => expect(percent(part, whole)).toBe(text));

  test.each([
    [0, '0 s'],
    [5, '5 s'],
    [60, '1 min'],
    [3_661, '1 h 1 min'],
    [90_000, '1 d 1 h'],
  ])('%d s is %s', (seconds, text) => expect(uptime(seconds)).toBe(text));
});

describe('a call in one line', () => {
  const record = fc
    .record({
      service: fc.string({ unit: 'binary', maxLength: 40 }),
      method: fc.string({ maxLength: 12 }),
      target: fc.string({ unit: 'binary', maxLength: 200 }),
      status: fc.integer({ min: 100, max: 999 }),
      outcome: fc.constantFrom(...OUTCOMES),
      side: fc.constantFrom('server', 'client', 'unknown'),
      lost: fc.boolean(),
      answered: fc.boolean(),
      bytes: fc.nat(),
      ns: fc.nat({ max: 1e12 }),
      ts: fc.constantFrom(sampleRecord().ts, null),
    })
    .map(
      (x): ExchangeRecord =>
        sampleRecord({
          service: x.service,
          side: x.side,
          ts: x.ts,
          outcome: x.outcome,
          request: { ...sampleRecord().request!, method: x.method, target: x.target, body_bytes: x.bytes },
          response: x.answered ? { ...sampleRecord().response!, status: x.status } : null,
          timing_ns: { ...sampleRecord().timing_ns, last_response_byte: x.answered ? x.ns : null },
          losses: x.lost ? [{ reason: 'gap', bytes: x.bytes }] : [],
        }),
    );

  test('fits the terminal, is one line, and holds nothing that steers it', () => {
    fc.assert(
      fc.property(record, fc.integer({ min: 50, max: 300 }), fc.boolean(), (call, width, colour) => {
        const line = withoutColour(callLine(call, { width, colour }));
        expect(line.length).toBeLessThanOrEqual(width);
        expect(line).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e]/);
        expect(line).toContain(` ${call.response?.status ?? '-'} `);
      }),
      { numRuns: 2_000 },
    );
  });

  test('columns stay columns whatever the outcome', () => {
    for (const width of [80, 120, 200]) {
      const at = OUTCOMES.map((outcome) => callLine(sampleRecord({ outcome }), plain(width)).indexOf(' 200 '));
      expect(new Set(at).size).toBe(1);
      expect(at[0]).toBeGreaterThan(0);
    }
  });

  test('what went wrong is a word, never a colour alone', () => {
    for (const outcome of OUTCOMES.filter((o) => o !== 'complete')) {
      expect(
        callLine(sampleRecord({ outcome, request: { ...sampleRecord().request!, target: '/' } }), plain(130)),
      ).toContain(outcome);
    }
    expect(callLine(sampleRecord({ losses: [{ reason: 'gap', bytes: 1_448 }] }), plain(200))).toContain(
      'complete, missing: gap 1.4k',
    );
  });

  test('a narrow terminal says it in fewer words', () => {
    const last = (change: Partial<ExchangeRecord>): string =>
      callLine(sampleRecord(change), plain(80)).slice(-8).trim();
    expect(last({ outcome: 'client_abort' })).toBe('aborted');
    expect(last({ outcome: 'reset_before_headers' })).toMatch(/ reset$/);
    expect(last({ losses: [{ reason: 'gap', bytes: 1 }] })).toBe('ng bytes');
    expect(callLine(sampleRecord(), plain(80))).not.toContain('complete');
  });

  test('a client shows where its call goes', () => {
    expect(callLine(sampleRecord({ side: 'client' }), plain(200))).toContain('api.example/v1/users/7');
    expect(callLine(sampleRecord(), plain(200))).not.toContain('api.example');
  });

  test('header values wrap', () => {
    const request = { ...sampleRecord().request!, headers: [['x-long', 'v'.repeat(200)]] as const };
    const lines = headerLines(sampleRecord({ request, response: null }), plain(80))
      .trimEnd()
      .split('\n');
    expect(lines.length).toBe(3);
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
    expect(lines.map((line) => line.trim()).join('')).toBe(`> x-long: ${'v'.repeat(200)}`);
  });
});

describe('status', () => {
  test.each([80, 200, Number.POSITIVE_INFINITY])('fits %d columns, and nothing is cut', (width) => {
    const text = statusText(sampleStatus(), plain(width));
    for (const line of text.split('\n')) expect(line.length).toBeLessThanOrEqual(width);
    expect(text).not.toContain('…');
    expect(text.replace(/\s+/g, ' ')).toContain(
      'captured 1,204,340 of 1,204,552 calls (99.98 %), lost 212, because: ring_full 212x 310.5 KiB gap 3x 4.2 KiB',
    );
    expect(text.replace(/\s+/g, ' ')).toContain(
      'bodies stood still 7 times because the stream window was used up, 2.5s in all, 1 now bodies stood still 2 times because the connection window was used up, 250ms in all',
    );
    expect(text).toContain('packets_egress');
    expect(text).toContain('not measured');
  });

  test('nothing missing is said so; not ready and not attached too', () => {
    const status = sampleStatus();
    const whole = {
      ...status,
      ready: false,
      cgroups: [{ path: '/a', attached: false }],
      ledger: { ...status.ledger, losses: [], requests: { seen: 1_204_331, lost: 0 } },
    };
    const text = statusText(whole, plain(200));
    expect(text).toContain('captured 1,204,331 of 1,204,331 calls (100 %), lost 0; nothing is missing');
    expect(text).toContain('STARTING: not capturing yet');
    expect(text).toContain('/a  NOT ATTACHED');
    const blind = statusText({ ...whole, problems: ['3 calls were not seen'] }, { width: 200, colour: true });
    expect(blind).toContain('NOT READY');
    expect(blind).toContain('\x1b[31m3 calls were not seen');
  });
});

describe('the terminal', () => {
  const stream = (isTTY: boolean, columns?: number) => ({ isTTY, columns }) as NodeJS.WriteStream;
  test('colour only on a terminal, and not with NO_COLOR or TERM=dumb', () => {
    expect(lookOf(stream(false), {})).toEqual({ width: Number.POSITIVE_INFINITY, colour: false });
    expect(lookOf(stream(true, 100), {})).toEqual({ width: 100, colour: true });
    expect(lookOf(stream(true, 100), { NO_COLOR: '1' })).toEqual({ width: 100, colour: false });
    expect(lookOf(stream(true, 100), { NO_COLOR: '' })).toEqual({ width: 100, colour: true });
    expect(lookOf(stream(true), { TERM: 'dumb' })).toEqual({ width: 80, colour: false });
  });

  test('cut, wrapWords, safe', () => {
    expect([cut('abc', 3), cut('abcd', 3), cut('abcd', 0)]).toEqual(['abc', 'ab…', '']);
    expect(wrapWords('one two three', 7)).toEqual(['one two', 'three']);
    expect(wrapWords('unbreakable', 4)).toEqual(['unbreakable']);
    expect(safe('a\u001b[31m\n\u202eb')).toBe('a\\x1b[31m\\x0a\\u202eb');
  });
});

describe('the line of a WebSocket', () => {
  const side = (text: number, code: number | null): WebSocketRecord['from_client'] => ({
    messages: { text, binary: 1 },
    bytes: { text: 100 * text, binary: 5, control: 6 },
    close: code === null ? null : { code },
  });
  const record: WebSocketRecord = {
    ...{ type: 'websocket', exchange: 'run-1-1', ts: '2026-11-22T16:04:05.123456789Z', connection: 'run-1' },
    ...{ side: 'server', service: 'chat.service', end: 'closed', closed_by: 'server', duration_ns: 61e9 },
    ...{ from_client: side(2, 1_000), from_server: side(30, 1_001), losses: [] },
  };

  test('has the columns of a call, and says who closed it', () => {
    const call = callLine(sampleRecord({ service: 'chat.service' }), plain(140));
    const line = webSocketLine(record, plain(140));
    expect(line.indexOf('chat.service')).toBe(call.indexOf('chat.service'));
    expect(line).toMatch(/ ws +1001 1\.0min +211B\/3\.0k 3 up, 31 messages down, closed by server$/);
  });

  test('fits, whatever came, and cannot steer the terminal', () => {
    const lost = {
      ...record,
      end: 'lost',
      closed_by: null,
      duration_ns: null,
      losses: [{ reason: 'gap', bytes: 9 }],
    } as const;
    for (const width of [60, 80, 120, 200])
      for (const one of [record, { ...lost, service: '\u001b[2J', ts: null }])
        expect(webSocketLine(one, plain(width)).length, String(width)).toBeLessThanOrEqual(width);
    expect(webSocketLine({ ...lost, service: '\u001b[2J' }, plain(200))).not.toContain('\u001b');
    expect(webSocketLine(lost, plain(200))).toContain('lost, missing: gap 9B');
  });
});
