/**
 * A capture that lost, doubled or reordered packets says the same as the whole one, or says that it does not: an exchange
 * is identical, or marked, or missing together with bytes in the summary. It is never another one.
 */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fileOf, Talk } from '../fixtures/pcap/talk.ts';
import { FIN, RST, type TcpPacket } from '../fixtures/pcap/write.ts';
import { type Replayed, type ReplayedExchange, replayed } from '../rig/replay.ts';

/** Every message carries its call's number, so that a wrong pair shows. */
const request = (n: number, method = 'GET', more = '', body = ''): string =>
  `${method} /call/${n} HTTP/1.1\r\nHost: a\r\nX-Call: ${n}\r\n${more}\r\n${body}`;
const answer = (n: number, more = '', body = '', status = '200 OK'): string =>
  `HTTP/1.1 ${status}\r\nX-Call: ${n}\r\n${more}\r\n${body}`;
const sized = (n: number, body: string): string => answer(n, `Content-Length: ${body.length}\r\n`, body);
const chunked = 'Transfer-Encoding: chunked\r\n';
/** Bodies that quote messages at the start of their segments: nothing in them may become an exchange. */
const QUOTED = [request(901), answer(902, 'Content-Length: 0\r\n')];

const talks: Record<string, () => Talk> = {
  'keep-alive': () => {
    const talk = new Talk().open();
    for (let n = 1; n <= 4; n++) talk.client(request(n)).split('server', sized(n, 'b'.repeat(30 * n)), 60);
    return talk.close();
  },
  uploads: () =>
    new Talk()
      .open()
      .client(request(1, 'POST', 'Content-Length: 300\r\n'), 'x'.repeat(100), 'y'.repeat(100), 'z'.repeat(100))
      .server(sized(1, 'one'))
      .client(request(2, 'PUT', chunked), '5\r\nhello\r\n', '20;x=y\r\n', 'c'.repeat(32), '\r\n0\r\nX-Sum: 1\r\n\r\n')
      .server(sized(2, 'two'))
      .client(request(3))
      .server(sized(3, 'three'))
      .close(),
  chunked: () =>
    new Talk()
      .open()
      .client(request(1))
      .server(answer(1, chunked), 'a\r\n0123456789\r\n', '5\r\nabcde\r\n', '0\r\n', 'X-Sum: 15\r\n\r\n')
      .client(request(2))
      .server(sized(2, 'two'))
      .close('server'),
  'no bodies': () =>
    new Talk()
      .open()
      .client(request(1, 'HEAD'))
      .server(answer(1, 'Content-Length: 5000\r\n'))
      .client(request(2))
      .server(answer(2, '', '', '204 No Content'))
      .client(request(3))
      .server(answer(3, 'Content-Length: 9\r\n', '', '304 Not Modified'))
      .client(request(4))
      .server(sized(4, 'four'))
      .close(),
  interim: () =>
    new Talk()
      .open()
      .client(request(1, 'POST', 'Expect: 100-continue\r\nContent-Length: 8\r\n'))
      .server('HTTP/1.1 100 Continue\r\n\r\n')
      .client('upload-1')
      .server('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n', sized(1, 'one'))
      .client(request(2))
      .server(sized(2, 'two'))
      .close(),
  'a chunked body refused': () => {
    const put = (n: number): string => request(n, 'PUT', `Expect: 100-continue\r\n${chunked}`);
    const no = (n: number): string => answer(n, 'Content-Length: 2\r\n', 'no', '417 Expectation Failed');
    return new Talk()
      .open()
      .client(put(1))
      .server(no(1))
      .split('client', request(2), 20)
      .server(sized(2, 'two'))
      .client(put(3))
      .server(no(3))
      .client('5\r\n', 'hello\r\n0\r\n\r\n')
      .client(request(4))
      .server(sized(4, 'four'))
      .close();
  },
  pipelined: () =>
    new Talk()
      .open()
      .client(request(1), request(2), request(3))
      .server(sized(1, '1'), sized(2, '22'), sized(3, '333'))
      .client(request(4) + request(5))
      .server(sized(4, '4444'), sized(5, '55555'))
      .client(request(6))
      .server(sized(6, '666666'))
      .close(),
  'until closed': () => new Talk().open().client(request(1)).server(answer(1), 'abc', 'def', 'ghi').close('server'),
  reset: () =>
    new Talk().open().client(request(1)).server(answer(1, 'Content-Length: 900\r\n'), 'abc', 'def').rst('server'),
  upgraded: () =>
    new Talk()
      .open()
      .client(request(1))
      .server(sized(1, 'one'))
      .client(request(2, 'GET', 'Connection: upgrade\r\nUpgrade: websocket\r\n'))
      .server(answer(2, 'Connection: upgrade\r\nUpgrade: websocket\r\n', '', '101 Switching Protocols'))
      .client('\x81\x05hello', '\x81\x03you')
      .server('\x81\x02hi', '\x88\x00')
      .close(),
  'bodies that quote messages': () => {
    const body = QUOTED.join('');
    return new Talk()
      .open()
      .client(request(1, 'POST', `Content-Length: ${body.length}\r\n`), ...QUOTED)
      .server(answer(1, `Content-Length: ${body.length}\r\n`), ...QUOTED)
      .client(request(2))
      .server(sized(2, 'two'))
      .close();
  },
};

const callOf = (headers: readonly (readonly [string, string])[]): string | undefined =>
  headers.find(([name]) => name === 'X-Call')?.[1];

/** What two captures of the same call have in common. */
function saying({ id: _, connection: __, ts: ___, in_flight: ____, ...rest }: ReplayedExchange): unknown {
  return rest;
}
const sayings = ({ exchanges }: Replayed): unknown[] => exchanges.map(saying);

const isMarked = (x: ReplayedExchange): boolean =>
  x.losses.length > 0 || !['complete', 'upgraded'].includes(x.outcome) || x.request === null;

const lostBytes = ({ summary }: Replayed): number =>
  summary.losses.reduce((sum, l) => sum + (l.reason === 'gap' ? l.bytes : 0), 0);

/** Everything that `damaged` says is said by `whole`, or marked. */
function expectNoLie(whole: Replayed, damaged: Replayed): void {
  const truth = sayings(whole).map((x) => JSON.stringify(x));
  const calls: number[] = [];
  for (const exchange of damaged.exchanges) {
    const { request: asked, response: answered } = exchange;
    const text = JSON.stringify(saying(exchange));
    if (!truth.includes(text)) expect(isMarked(exchange), text).toBe(true);
    const own = [
      ...(asked === null ? [] : [asked.target.slice('/call/'.length)]),
      ...(asked === null ? [] : [callOf(asked.headers)]),
      ...(answered === null ? [] : [callOf(answered.headers)]),
    ].filter((call) => call !== undefined && call !== '');
    // Request and response are the same call's, and it took place.
    expect(new Set(own).size, text).toBeLessThanOrEqual(1);
    expect(own[0] ?? '1', text).toMatch(/^[1-9]$/);
    if (own.length > 0) calls.push(Number(own[0]));
  }
  const { reassembly, counters } = damaged.tracker;
  expect(counters.bytes).toBe(reassembly.delivered + reassembly.cut + reassembly.duplicate + reassembly.unusable);
  expect(damaged.summary.exchanges).toBe(damaged.exchanges.length);
  // Losses on exchanges are among those in the summary.
  const marked = damaged.exchanges.flatMap((x) => x.losses).reduce((n, l) => n + (l.reason === 'gap' ? l.bytes : 0), 0);
  expect(marked).toBeLessThanOrEqual(lostBytes(damaged));
}

describe.each(Object.keys(talks))('%s', (name) => {
  const { packets } = talks[name]!();
  const payload = (p: TcpPacket | undefined): number => p?.payload?.length ?? 0;
  const replayOf = (list: readonly TcpPacket[]): Promise<Replayed> => replayed(fileOf(list, { nanoseconds: true }));

  test('any one segment missing', async () => {
    const whole = await replayOf(packets);
    for (const [i, packet] of packets.entries()) {
      const damaged = await replayOf(packets.toSpliced(i, 1));
      expectNoLie(whole, damaged);
      if (payload(packet) === 0) continue;
      expect(lostBytes(damaged), `packet ${i}`).toBe(payload(packet));
      // What follows a switch of protocols is in no record.
      if (name !== 'upgraded' || i <= 6) expect(sayings(damaged), `packet ${i}`).not.toEqual(sayings(whole));
    }
  });

  test('any two neighbours missing', async () => {
    const whole = await replayOf(packets);
    for (let i = 0; i + 1 < packets.length; i++) {
      const damaged = await replayOf(packets.toSpliced(i, 2));
      expectNoLie(whole, damaged);
      const flags = (packets[i]!.flags ?? 0) | (packets[i + 1]!.flags ?? 0);
      // A reset tells how far its sender was, and nobody acknowledges it.
      if ((flags & RST) !== 0) continue;
      // Who acknowledges data and a FIN that were both not seen does not say which of the numbers was the FIN's.
      const missing = payload(packets[i]) + payload(packets[i + 1]);
      const slack = (flags & FIN) !== 0 && missing > 0 ? 1 : 0;
      expect([missing, missing + slack], `packet ${i}`).toContain(lostBytes(damaged));
    }
  });

  test('every segment doubled, at once or later; neighbours exchanged: the same', async () => {
    const whole = await replayOf(packets);
    const expected = sayings(whole);
    expect(sayings(await replayOf(packets.flatMap((p) => [p, p])))).toEqual(expected);
    for (const [i, packet] of packets.entries()) {
      const twice = await replayOf(packets.toSpliced(i + 2, 0, packet));
      expect(sayings(twice), `packet ${i} twice`).toEqual(expected);
      const next = packets[i + 1];
      if (next === undefined || ((next.flags ?? 0) & RST) !== 0) continue;
      const swapped = await replayOf(packets.toSpliced(i, 2, next, packet));
      expect(sayings(swapped), `packets ${i} and ${i + 1} exchanged`).toEqual(expected);
    }
  });

  test('any cut into segments says the same but for times', async () => {
    const timeless = (r: Replayed): unknown[] =>
      r.exchanges.map((x) => ({
        ...(saying(x) as object),
        timing_ns: 0,
        response: x.response && { ...x.response, interim: 0 },
      }));
    const expected = timeless(await replayOf(packets));
    for (const size of [1, 2, 7, 23]) {
      const cut = packets.flatMap((p): TcpPacket[] => {
        const text = p.payload as string;
        if (text.length <= size) return [p];
        return Array.from({ length: Math.ceil(text.length / size) }, (_, i) => ({
          ...p,
          seq: (p.seq + i * size) >>> 0,
          payload: text.slice(i * size, (i + 1) * size),
          ts: p.ts + BigInt(i),
        }));
      });
      expect(timeless(await replayOf(cut)), `pieces of ${size}`).toEqual(expected);
    }
  });

  test('anything missing, doubled and moved at random', async () => {
    const whole = await replayOf(packets);
    const damage = fc.array(
      fc.record({ kind: fc.constantFrom('drop', 'double', 'move'), at: fc.nat(), by: fc.integer({ min: 1, max: 4 }) }),
      {
        minLength: 1,
        maxLength: 6,
      },
    );
    await fc.assert(
      fc.asyncProperty(damage, async (steps) => {
        const list = [...packets];
        let drops = 0;
        for (const { kind, at, by } of steps) {
          const i = at % list.length;
          const [packet] = list.splice(i, 1);
          if (kind === 'drop') drops++;
          else list.splice(Math.min(i + by, list.length), 0, packet!);
          if (kind === 'double') list.splice(i, 0, packet!);
        }
        const damaged = await replayOf(list);
        expectNoLie(whole, damaged);
        if (drops === 0 && name !== 'reset') expect(sayings(damaged)).toEqual(sayings(whole));
      }),
      { numRuns: 60, seed: 20_261_122 },
    );
  });
});
