/**
 * Connections that were older than the capture, joined amid pipelined bursts: each direction from a point of its own. Whatever was
 * not seen, a call that says nothing against itself has its own answer.
 */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import { type ReplayedExchange, replayed } from '../rig/replay.ts';

/** What happens on the wire next: the client sends some requests more, the server some answers, in pieces of so many bytes. */
interface Step {
  readonly by: 'client' | 'server';
  readonly calls: number;
  readonly size: number;
  /** Sent before the other side's last bytes came. */
  readonly early: boolean;
  readonly body: number;
}

const step = fc.record<Step>({
  by: fc.constantFrom('client', 'server'),
  calls: fc.integer({ min: 1, max: 4 }),
  size: fc.constantFrom(7, 45, 60, 1_400),
  early: fc.boolean(),
  body: fc.constantFrom(0, 5, 90),
});

const request = (id: number): string => `GET /${id} HTTP/1.1\r\nHost: a\r\nX-Id: ${id}\r\n\r\n`;
const answer = (id: number, body: number): string =>
  `HTTP/1.1 200 OK\r\nX-Id: ${id}\r\nContent-Length: ${body}\r\n\r\n${'b'.repeat(body)}`;

/** A dialog without its opening: the server answers what it was asked, in order, and all in the end. */
function dialog(steps: readonly Step[]): Talk {
  const talk = new Talk();
  let asked = 0;
  let answered = 0;
  const say = (by: Step['by'], text: string, size: number, early: boolean): void => {
    const pieces: string[] = [];
    for (let at = 0; at < text.length; at += size) pieces.push(text.slice(at, at + size));
    if (by === 'client') early ? talk.clientEarly(...pieces) : talk.client(...pieces);
    else early ? talk.serverEarly(...pieces) : talk.server(...pieces);
  };
  for (const { by, calls, size, early, body } of steps) {
    let text = '';
    if (by === 'client') for (let i = 0; i < calls; i++) text += request(asked++);
    else for (let i = 0; i < calls && answered < asked; i++) text += answer(answered++, body);
    if (text !== '') say(by, text, size, early);
  }
  while (answered < asked) talk.server(answer(answered++, 3));
  return talk.close();
}

const ID = 'X-Id';
const idOf = (message: ReplayedExchange['request'] | ReplayedExchange['response']): string | undefined =>
  message?.headers.find(([name]) => name === ID)?.[1];

/** Calls that have another one's answer and do not say that anything is missing. */
const wrong = (exchanges: readonly ReplayedExchange[]): string[] =>
  exchanges
    .filter(({ request: asked, response, losses }) => {
      const [a, b] = [idOf(asked), idOf(response)];
      return a !== undefined && b !== undefined && a !== b && losses.length === 0;
    })
    .map(({ request: asked, response }) => `${idOf(asked)} has the answer of ${idOf(response)}`);

test('whatever was not seen of either direction: no call has another one’s answer without a word', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 12 }), fc.nat(), fc.nat(), async (steps, a, b) => {
      const { packets } = dialog(steps);
      const from = { 40_000: a % packets.length, 80: b % packets.length } as Record<number, number>;
      const seen = packets.filter(({ sport }, i) => i >= from[sport]!);
      if (seen.length === 0) return;
      expect(wrong((await replayed(fileOf(seen))).exchanges)).toEqual([]);
    }),
    { numRuns: Number(process.env.RUNS ?? 300) },
  );
});

test('joined at one moment: the same', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 12 }), fc.nat(), async (steps, a) => {
      const { packets } = dialog(steps);
      expect(wrong((await replayed(fileOf(packets.slice(a % packets.length)))).exchanges)).toEqual([]);
    }),
    { numRuns: Number(process.env.RUNS ?? 300) },
  );
});
