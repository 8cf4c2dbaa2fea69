/**
 * Gap invariance: a conversation with any one of its segments missing may lose calls, and must not change one. What is
 * read as whole was sent exactly so at this place; what is marked was sent at this place too, as far as it is known.
 */
import { describe, expect, test } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { H1Shared } from '../../src/http/h1/shared.ts';
import { H1Stream } from '../../src/http/h1/stream.ts';
import { LossLedger } from '../../src/model/loss.ts';
import type { Message } from '../../src/model/message.ts';
import { endOf, fieldsOf, startOf } from './h1-rig.ts';

/** Segments in the order they were captured: ">" from the client, "<" from the server; "$" is CRLF. */
type Conversation = string[];

const get = (n: number | string): string => `>GET /${n} HTTP/1.1$Host: x$X-Request-Id: ${n}$$`;
const ok = (text: string): string => `<HTTP/1.1 200 OK$Content-Length: ${text.length}$$${text}`;

const CONVERSATIONS: Record<string, Conversation> = {
  'one segment a message': [get(1), ok('one'), get(2), ok('two'), get(3), ok('three'), get(4), ok('four')],
  'heads and bodies apart': [
    '>POST /1 HTTP/1.1$Host: x$Content-Length: 10$$',
    '>0123456789',
    '<HTTP/1.1 201 Created$Content-Length: 4$$',
    '<done',
    '>POST /2 HTTP/1.1$Host: x$Content-Length: 10$$',
    '>0123456789',
    '<HTTP/1.1 201 Created$Content-Length: 4$$',
    '<done',
    get(3),
    ok('three'),
    get(4),
    ok('four'),
  ],
  'bodies that look like messages': [
    '>POST /1 HTTP/1.1$Host: x$Content-Length: 31$$',
    '>GET /evil HTTP/1.1$Host: x$$',
    '<HTTP/1.1 200 OK$Content-Length: 37$$',
    '<HTTP/1.1 500 Evil$Server: evil!!$$',
    '>POST /2 HTTP/1.1$Host: x$Transfer-Encoding: chunked$$',
    '>1f$',
    '>GET /evil HTTP/1.1$Host: x$$',
    '>$0$$',
    '<HTTP/1.1 200 OK$Transfer-Encoding: chunked$$',
    '<25$',
    '<HTTP/1.1 500 Evil$Server: evil!!$$',
    '<$',
    '<0$$',
    get(3),
    ok('three'),
    get(4),
    ok('four'),
  ],
  'a body that looks like messages in many segments': [
    '>POST /1 HTTP/1.1$Host: x$Content-Length: 93$$',
    '>GET /evil HTTP/1.1$Host: x$$',
    '>GET /evil HTTP/1.1$Host: x$$',
    '>GET /evil HTTP/1.1$Host: x$$',
    ok('one'),
    get(2),
    ok('two'),
    get(3),
    ok('three'),
  ],
  'chunks and trailers in pieces': [
    get(1),
    '<HTTP/1.1 200 OK$Transfer-Encoding: chu',
    '<nked$$5$he',
    '<llo$',
    '<3',
    '<$abc',
    '<$0$X-Sum: 1',
    '<$$',
    get(2),
    ok('two'),
    get(3),
    ok('three'),
  ],
  'HEAD, 304 and interim responses': [
    '>HEAD /1 HTTP/1.1$Host: x$$',
    '<HTTP/1.1 200 OK$Content-Length: 9$$',
    get(2),
    '<HTTP/1.1 304 Not Modified$Content-Length: 9$$',
    '>PUT /3 HTTP/1.1$Host: x$Expect: 100-continue$Content-Length: 29$$',
    '<HTTP/1.1 100 Continue$$',
    '>GET /evil HTTP/1.1$Host: ok$$',
    '<HTTP/1.1 204 No Content$$',
    get(4),
    ok('four'),
  ],
  'pipelined requests': [
    get(1),
    get(2),
    get(3),
    ok('one'),
    ok('two'),
    ok('three'),
    get(4),
    ok('four'),
    get(5),
    ok('five'),
  ],
  'a large head in pieces': [
    `>GET /1 HTTP/1.1$Host: x$X-A: ${'a'.repeat(900)}`,
    `>${'b'.repeat(900)}$X-B: ${'c'.repeat(900)}$`,
    '>X-C: d$$',
    ok('one'),
    get(2),
    ok('two'),
    get(3),
    ok('three'),
  ],
  'an upgrade': [
    get(1),
    ok('one'),
    '>GET /ws HTTP/1.1$Host: x$Upgrade: websocket$$',
    '<HTTP/1.1 101 Switching Protocols$Upgrade: websocket$$',
    '>\x81\x85abcdefghi',
    '<\x81\x02hi',
    '>\x81\x85abcdefghi',
  ],
  'until the connection closes': [
    get(1),
    ok('one'),
    get(2),
    '<HTTP/1.1 200 OK$A: b$$',
    '<data',
    '<HTTP/1.1 200 OK$$',
    '<more',
  ],
}; // prettier-ignore

interface Seen {
  key: string;
  start: string;
  fields: string;
  end: string;
  bodyBytes: number;
  /** With the framing of chunks, and trailers. */
  wireBytes: number;
  whole: boolean;
}

/** Plays a conversation without segment `missing`; the other side's acknowledgements count it all the same. */
function play(conversation: Conversation, missing: number, why: 'gap' | 'left_out'): Seen[] {
  const shared = new H1Shared();
  const seen: Seen[] = [];
  const requests: Message[] = [];
  const sink = {
    head: (m: Message): void => {
      if (m.kind === 'request') requests.push(m);
    },
    interim: (): void => {},
    end: (m: Message): void => {
      seen.push({
        key: `${m.kind}@${m.startOffset}`,
        start: startOf(m),
        fields: fieldsOf(m.fields),
        end: endOf(m),
        bodyBytes: m.bodyBytes,
        wireBytes: m.endOffset - m.startOffset - m.headBytes,
        whole: m.losses.length === 0 && m.end !== 'open',
      });
    },
    // As exchanges are paired: the first unanswered request that the response's segment acknowledges.
    requestFor: (m: Message): Message | null => {
      const i = requests.findIndex((r) => r.endOffset >= 0 && r.endOffset <= m.ackOffset);
      return i < 0 ? null : requests.splice(i, 1)[0]!;
    },
  };
  const losses = new LossLedger();
  const request = new H1Stream('request', sink, shared, losses, 'opened');
  const response = new H1Stream('response', sink, shared, losses, 'opened');
  H1Stream.pair(request, response);
  const sent = [0, 0];
  conversation.forEach((text, i) => {
    const from = text[0] === '>' ? 0 : 1;
    const bytes = Buffer.from(text.slice(1).replaceAll('$', '\r\n'), 'latin1');
    const stream = from === 0 ? request : response;
    if (i === missing) stream.gap(sent[from]!, bytes.length, why, i);
    else stream.data(Memory.from(bytes), 0, bytes.length, sent[from]!, i, sent[1 - from]!);
    sent[from]! += bytes.length;
  });
  request.end('fin', 1_000);
  response.end('fin', 1_000);
  return seen;
}

describe.each(Object.entries(CONVERSATIONS))('%s', (_, conversation) => {
  const baseline = new Map(play(conversation, -1, 'gap').map((m) => [m.key, m]));

  test('is read without loss when nothing is missing', () => {
    for (const m of baseline.values()) expect(m.whole && /^(framed|fin|switched) /.test(m.end), m.end).toBe(true);
  });

  test.each(conversation.map((text, i) => [i, text.slice(0, 30)] as const))('without segment %i (%s)', (missing) => {
    for (const why of ['gap', 'left_out'] as const) {
      const seen = play(conversation, missing, why);
      for (const m of seen) {
        const sent = baseline.get(m.key);
        expect(sent, `invented: ${JSON.stringify(m)}`).toBeDefined();
        expect(m.start).toBe(sent!.start);
        expect(sent!.fields.startsWith(m.fields), `${m.fields} is no part of ${sent!.fields}`).toBe(true);
        // Where size lines are missing, what was behind them counts as data (src/http/h1/chunked.ts).
        expect(m.bodyBytes).toBeLessThanOrEqual(sent!.wireBytes);
        if (m.whole) expect(m).toEqual(sent);
      }
      // It finds its way back: at most the calls that the segment touched and the rest of their burst are missing.
      expect(seen.length).toBeGreaterThanOrEqual(baseline.size - 4);
      expect(new Set(seen.map((m) => m.key)).size).toBe(seen.length);
    }
  });
});
