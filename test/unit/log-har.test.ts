import { describe, expect, test } from 'vitest';
import { UNSEEN } from '../../src/base/clock.ts';
import type { WebSocketDirection, WebSocketSession } from '../../src/model/websocket.ts';
import { redactor } from '../../src/redact/redacted.ts';
import { connectionOf, type ExchangeSpec, exchangeOf, har, policy } from './log-rig.ts';

const redact = redactor(policy());

// biome-ignore lint/suspicious/noExplicitAny: a parsed document
function entries(...specs: ExchangeSpec[]): any[] {
  const format = har();
  return JSON.parse(
    format.begin() + specs.map((spec) => format.exchange(redact(exchangeOf(spec)))).join('') + format.end(),
  ).log.entries;
}

describe('HAR 1.2', () => {
  test('has what the specification makes mandatory, redacted', () => {
    const [entry] = entries({
      request: {
        method: 'POST',
        target: '/v1/x?a=1&token=canary-canary',
        headers: [
          ['Host', 'api.example'],
          ['Cookie', 'sid=canary-canary; theme=dark'],
        ],
        headBytes: 100,
        bodyBytes: 7,
      },
      response: {
        status: 302,
        reason: 'Found',
        headers: [
          ['Content-Type', 'text/plain'],
          ['Set-Cookie', 'sid=canary-canary; Path=/; Expires=Wed, 21 Oct 2026 07:28:00 GMT'],
          ['Location', '/next'],
        ],
        headBytes: 80,
        bodyBytes: 5,
      },
    });
    const print = expect.stringMatching(/^\[fp:[0-9a-f]{16}\]$/);
    expect(entry).toMatchObject({
      startedDateTime: '2026-11-22T16:04:05.000001000Z',
      request: {
        method: 'POST',
        url: expect.stringMatching(/^http:\/\/api\.example\/v1\/x\?a=1&token=\[fp:[0-9a-f]{16}\]$/),
        httpVersion: 'HTTP/1.1',
        cookies: [
          { name: 'sid', value: print },
          { name: 'theme', value: print },
        ],
        queryString: [
          { name: 'a', value: '1' },
          { name: 'token', value: print },
        ],
        headersSize: 100,
        bodySize: 7,
      },
      response: {
        status: 302,
        statusText: 'Found',
        cookies: [{ name: 'sid', value: print }],
        content: { size: 5, mimeType: 'text/plain' },
        redirectURL: '/next',
        headersSize: 80,
        bodySize: 5,
      },
      cache: {},
      timings: { blocked: -1, dns: -1, connect: -1, ssl: -1, send: 0.012, wait: 1.788, receive: 0.1 },
      serverIPAddress: '127.0.0.1',
      connection: 'r-7',
      _id: 'r-7-1',
      _outcome: 'complete',
    });
    expect(entry.time).toBe(0.012 + 1.788 + 0.1);
  });

  test('the timings are never negative and add up, also for an early response and for times that were not seen', () => {
    const specs: ExchangeSpec[] = [
      { request: { first: 0, last: 5_000_000 }, response: { first: 1_000_000, last: 6_000_000 } },
      { request: { first: UNSEEN, last: UNSEEN }, response: { first: UNSEEN, last: UNSEEN } },
      { request: { first: 1_000, last: UNSEEN }, response: { first: 2_000_000, last: UNSEEN } },
      { request: null },
      { response: null },
    ];
    const made = entries(...specs);
    expect(made).toHaveLength(specs.length);
    for (const { time, timings } of made) {
      for (const part of [timings.send, timings.wait, timings.receive]) expect(part).toBeGreaterThanOrEqual(0);
      expect(timings.send + timings.wait + timings.receive).toBe(time);
    }
    expect(made[0].timings).toMatchObject({ send: 1, wait: 0, receive: 5 });
    expect(made[1]).toMatchObject({
      startedDateTime: '1970-01-01T00:00:00.000Z',
      comment: expect.stringContaining('no time'),
    });
    expect(made[3].request).toMatchObject({ method: '', comment: expect.any(String) });
    expect(made[4].response).toMatchObject({ status: 0, comment: expect.any(String) });
  });

  test('absolute and authority targets are URLs of their own', () => {
    const urls = entries(
      { request: { target: 'http://a.example/x', headers: [['Host', 'h']] } },
      { request: { method: 'CONNECT', target: 'a.example:443' } },
      { request: { method: 'CONNECT', target: '/chat', version: 20, scheme: 'https', authority: 'h' } },
      { request: { method: 'OPTIONS', target: '*', headers: [['Host', 'h']] } },
    ).map((e) => e.request.url);
    expect(urls).toEqual(['http://a.example/x', 'http://a.example:443', 'https://h/chat', 'http://h']);
  });

  test('the handshake of a WebSocket waits for its session, and comes at the end without one', () => {
    const format = har();
    const handshake = (ordinal: number): string =>
      format.exchange(redact(exchangeOf({ ordinal, upgrade: 'websocket', response: { status: 101 } })));
    const direction = (textMessages: number): WebSocketDirection => ({
      ...{ frames: 9, masked: 0, textMessages, textBytes: 10 * textMessages, binaryMessages: 0, binaryBytes: 0 },
      ...{ compressed: 0, pings: 0, pongs: 0, controlBytes: 0, close: null, firstAt: UNSEEN, lastAt: UNSEEN },
      ...{ unreadBytes: 0, violation: false, losses: [] },
    });
    const session = (ordinal: number): WebSocketSession => ({
      ...{ connection: connectionOf(), ordinal, beganAt: 1_000, endedAt: 2_000, end: 'cut' },
      ...{ client: direction(3), server: direction(4) },
    });
    const pieces = [
      format.begin(),
      handshake(1),
      handshake(2),
      format.websocket(session(2)),
      format.websocket(session(3)),
    ];
    expect([pieces[1], pieces[2], pieces[4]]).toEqual(['', '', '']);
    const made = JSON.parse([...pieces, format.end()].join('')).log.entries;
    expect(made.map((entry: { _id: string }) => entry._id)).toEqual(['r-7-2', 'r-7-1']);
    expect(made[0]._webSocket).toMatchObject({
      end: 'cut',
      from_client: { messages: { text: 3 } },
      duration_ns: 1_000,
    });
    expect(made[1]).not.toHaveProperty('_webSocket');
  });
});
