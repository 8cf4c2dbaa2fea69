/** What TCP does to a conversation: the calls stay the same, or say what they miss. */
import { describe, expect, test } from 'vitest';
import { fileOf, Talk, type TalkOptions } from '../fixtures/pcap/talk.ts';
import { ACK, FIN, type LinkName, PSH, RST, type TcpPacket } from '../fixtures/pcap/write.ts';
import { replayed } from '../rig/replay.ts';
import { get, ok, said } from './replay-lines.ts';

/** Two calls: the handshake is packets 0 to 2, the messages are 3 to 6. */
const two = (options: TalkOptions = {}): Talk =>
  new Talk(options).open().client(get('/1')).server(ok('one')).client(get('/2')).server(ok('two')).close();
const one = (): Talk => new Talk().open().client(get('/1')).server(ok('x')).close();
/** A request in two segments, packets 3 and 4. */
const split = (): Talk => new Talk().open().client('GET /aaaa HTT', 'P/1.1\r\nHost: a\r\n\r\n').server(ok('x')).close();
const pipelined = (): Talk =>
  new Talk()
    .open()
    .client(get('/1'), get('/2'), get('/3'))
    .server(ok('a'), ok('bb'), ok('ccc'))
    .client(get('/4'))
    .server(ok('dddd'))
    .close();
const BOTH = ['GET /1 > 200 3 complete', 'GET /2 > 200 3 complete'];

const at = (packets: readonly TcpPacket[], place: number): TcpPacket => {
  const packet = packets[place];
  if (packet === undefined) throw new RangeError(`no packet ${place}`);
  return packet;
};
/** A file of these packets, with times in this order. */
function inOrder(packets: readonly TcpPacket[]): Buffer {
  const { ts } = at(packets, 0);
  return fileOf(packets.map((packet, i) => ({ ...packet, ts: ts + BigInt(i) * 1_000_000n })));
}
/** The talk with a changed copy of packet `of` before packet `place`. */
function insert({ packets }: Talk, place: number, of: number, change: (p: TcpPacket) => Partial<TcpPacket>): Buffer {
  const copy = { ...at(packets, of), ...change(at(packets, of)) };
  return inOrder([...packets.slice(0, place), copy, ...packets.slice(place)]);
}
/** Packets `places` in the order given, where the first of them was. */
function reordered({ packets }: Talk, places: number[]): Buffer {
  const first = Math.min(...places);
  const rest = packets.filter((_, i) => i >= first && !places.includes(i));
  return inOrder([...packets.slice(0, first), ...places.map((place) => at(packets, place)), ...rest]);
}
const without = ({ packets }: Talk, places: number[]): Buffer => fileOf(packets.filter((_, i) => !places.includes(i)));
/** tcpdump's own example of a filter: neither SYN nor FIN. */
const withData = (...conversations: TcpPacket[][]): Buffer =>
  fileOf(conversations.flat().filter((p) => (p.payload ?? '').length > 0));
const changed = ({ packets }: Talk, place: number, change: Partial<TcpPacket>): Buffer =>
  fileOf(packets.map((packet, i) => (i === place ? { ...packet, ...change } : packet)));
const all = ({ packets }: Talk, change: Partial<TcpPacket>): Buffer =>
  fileOf(packets.map((p) => ({ ...p, ...change })));
/** A second talk on the same addresses and ports, as far as `from`. */
const again = (first: Talk, options: TalkOptions, from = 0): Buffer =>
  fileOf([...first.packets, ...two({ ts: first.now + 1_000_000n, ...options }).packets.slice(from)]);
const last = ({ packets }: Talk): TcpPacket => at(packets, packets.length - 1);

type Case = [name: string, capture: () => Buffer, says: string[]];

const NUMBERS: Case[] = [
  ['the client wraps around', () => two({ clientSeq: 0xffff_fff4 }).bytes(), BOTH],
  ['the server wraps around', () => two({ serverSeq: 0xffff_fff4 }).bytes(), BOTH],
  ['the first number is the last one', () => two({ serverSeq: 0xffff_ffff, clientSeq: 0xffff_ffff }).bytes(), BOTH],
  ['every packet twice', () => inOrder(two().packets.flatMap((p) => [p, p])), BOTH],
  [
    'a keep-alive probe with an old byte',
    () => insert(two(), 5, 5, (p) => ({ seq: p.seq - 1, payload: '\0', flags: ACK })),
    BOTH,
  ],
  [
    'a keep-alive probe without one',
    () => insert(two(), 5, 5, (p) => ({ seq: p.seq - 1, payload: '', flags: ACK })),
    BOTH,
  ],
  [
    'a zero-window probe',
    () => insert(split(), 4, 4, () => ({ payload: 'P', flags: ACK })),
    ['GET /aaaa > 200 1 complete'],
  ],
  ['urgent data', () => changed(two(), 3, { flags: ACK | PSH | 0x20 }), BOTH],
  ['a segment after the next one', () => reordered(split(), [4, 3]), ['GET /aaaa > 200 1 complete']],
  ['an answer before its request', () => reordered(two(), [4, 3]), BOTH],
  ['the handshake after the first call', () => reordered(two(), [3, 4, 0, 1, 2]), BOTH],
  [
    'a FIN before the last data',
    () =>
      reordered(
        new Talk().open().client(get('/1')).server('HTTP/1.1 200 OK\r\n\r\nabc', 'def').close('server'),
        [6, 5],
      ),
    ['GET /1 > 200 6 complete'],
  ],
  [
    'a FIN with data',
    () => {
      const { packets } = new Talk().open().client(get('/1')).server('HTTP/1.1 200 OK\r\n\r\nabc').close('server');
      return fileOf(packets.flatMap((p, i) => (i === 4 ? [{ ...p, flags: FIN | ACK | PSH }] : i === 5 ? [] : [p])));
    },
    ['GET /1 > 200 3 complete'],
  ],
  [
    'data after a FIN',
    () => {
      const talk = new Talk()
        .open()
        .client(get('/1'))
        .server('HTTP/1.1 200 OK\r\n\r\nabc')
        .fin('server')
        .server('more');
      return talk.bytes();
    },
    ['GET /1 > 200 3 complete'],
  ],
  [
    'both close at once',
    () => {
      const { packets } = one();
      // The second FIN does not know of the first.
      return fileOf(packets.slice(0, 7).map((p, i) => (i === 6 ? { ...p, ack: at(packets, 5).seq } : p)));
    },
    ['GET /1 > 200 1 complete'],
  ],
]; // prettier-ignore

const CONFLICTS: Case[] = [
  [
    'a retransmission that differs',
    () => insert(two(), 4, 3, () => ({ payload: get('/X') })),
    [...BOTH, 'lost overlap_conflict:1'],
  ],
  [
    'an overlap that differs',
    () => insert(split(), 4, 3, (p) => ({ seq: p.seq + 4, payload: '/bbbb HTTP/1.1\r\nHo' })),
    ['GET /aaaa > 200 1 complete', 'lost overlap_conflict:4'],
  ],
  [
    'one that differs while both wait',
    () => {
      const { packets } = split();
      const late = { ...at(packets, 4), payload: 'P/1.0\r\nHost: b\r\n\r\n' };
      return inOrder([...packets.slice(0, 3), at(packets, 4), late, at(packets, 3), ...packets.slice(5)]);
    },
    ['GET /aaaa > 200 1 complete', 'lost overlap_conflict:2'],
  ],
]; // prettier-ignore

const RESETS: Case[] = [
  [
    'far ahead',
    () => insert(two(), 5, 5, (p) => ({ seq: p.seq + 500_000_000, flags: RST, payload: '' })),
    [...BOTH, 'lost out_of_window:0'],
  ],
  [
    'far behind',
    () => insert(two(), 5, 5, (p) => ({ seq: (p.seq - 500_000_000) >>> 0, flags: RST, payload: '' })),
    [...BOTH, 'lost out_of_window:0'],
  ],
  [
    'left of the window',
    () => insert(two(), 5, 5, (p) => ({ seq: p.seq - 1, flags: RST, payload: '' })),
    [...BOTH, 'lost out_of_window:0'],
  ],
  [
    'number 0',
    () => insert(two(), 5, 5, () => ({ seq: 0, flags: RST | ACK, payload: '' })),
    [...BOTH, 'lost out_of_window:0'],
  ],
  [
    'exact',
    () => insert(two(), 6, 5, (p) => ({ seq: p.seq + 28, flags: RST | ACK, payload: '' })),
    ['GET /1 > 200 3 complete', 'GET /2 > - timeout'],
  ],
  ['after the end', () => one().rst('client').bytes(), ['GET /1 > 200 1 complete']],
  [
    'and data after it',
    () =>
      new Talk()
        .open()
        .client(get('/1'))
        .server('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc')
        .rst('client')
        .server('defghij')
        .bytes(),
    ['GET /1 > 200 3 client_abort'],
  ],
  [
    'to the SYN',
    () => {
      const { packets } = new Talk().open();
      return fileOf([at(packets, 0), { ...at(packets, 1), flags: RST | ACK, seq: 0 }]);
    },
    [],
  ],
]; // prettier-ignore

const OPENINGS: Case[] = [
  ['the SYN twice', () => insert(two(), 1, 0, () => ({})), BOTH],
  ['the SYN+ACK once more after data', () => insert(two(), 4, 1, () => ({})), BOTH],
  [
    'a SYN that carries the request, acknowledged',
    () => {
      const { packets } = one();
      const [syn, answer] = [at(packets, 0), at(packets, 1)];
      return fileOf([
        { ...syn, payload: get('/1') },
        { ...answer, ack: syn.seq + 29 },
        { ...at(packets, 2), seq: syn.seq + 29 },
        ...packets.slice(4),
      ]);
    },
    ['GET /1 > 200 1 complete'],
  ],
  [
    'a SYN whose data was refused and sent again',
    () => changed(one(), 0, { payload: get('/1') }),
    ['GET /1 > 200 1 complete'],
  ],
  ['the port used again', () => again(two(), { clientSeq: 7_000_000, serverSeq: 99 }), [...BOTH, ...BOTH]],
  [
    'used again without a close',
    () => again(new Talk().open().client(get('/1')), { clientSeq: 7_000_000, serverSeq: 99 }),
    ['GET /1 > - truncated end_unseen:0', ...BOTH, 'lost end_unseen:0'],
  ],
  [
    'used again in TIME-WAIT',
    () => again(two(), { clientSeq: last(two()).seq + 1, serverSeq: 99 }),
    [...BOTH, ...BOTH],
  ],
  [
    'used again where both go on counting',
    () => again(two(), { clientSeq: last(two()).seq + 1, serverSeq: (last(two()).ack ?? 0) + 1 }),
    [...BOTH, ...BOTH],
  ],
  [
    'used again, the handshake not captured',
    () => again(two(), { clientSeq: 7_000_000, serverSeq: 99 }, 3),
    [...BOTH, ...BOTH],
  ],
  [
    'used again, only packets with data captured',
    () => withData(two().packets, two({ clientSeq: 2 ** 31, serverSeq: 2 ** 30 }).packets),
    [...BOTH, ...BOTH],
  ],
  [
    'the same a second later, out of TIME-WAIT',
    () => {
      const first = two();
      const answer = first.packets.filter((p) => p.sport === 80 && (p.payload ?? '').length > 0).at(-1)!;
      const serverSeq = answer.seq + (answer.payload ?? '').length + 1 + 65_537;
      const second = two({ clientSeq: 1_000 + 15_600_000, serverSeq, ts: first.now + 1_000_000_000n });
      return withData(first.packets, second.packets);
    },
    [...BOTH, ...BOTH],
  ],
]; // prettier-ignore

const MISSING: Case[] = [
  [
    'one direction: requests',
    () => fileOf(two().packets.filter((p) => p.dport === 80)),
    ['GET /1 > - truncated gap:0', 'GET /2 > - truncated gap:0', 'lost gap:83'],
  ],
  [
    'one direction: responses',
    () => fileOf(two().packets.filter((p) => p.sport === 80)),
    ['- > 200 3 truncated gap:28', '- > 200 3 truncated gap:28', 'lost gap:56'],
  ],
  [
    'one direction: the response to HEAD',
    () =>
      fileOf(
        new Talk()
          .open()
          .client('HEAD / HTTP/1.1\r\nHost: a\r\n\r\n')
          .server('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
          .client(get('/2'))
          .server(ok('abc'))
          .close()
          .packets.filter((p) => p.sport === 80),
      ),
    ['- > 200 truncated gap:28', '- > 200 3 truncated gap:28', 'lost gap:56'],
  ],
  [
    'the beginning, before the first answer',
    () => fileOf(two().packets.slice(4)),
    ['- > 200 3 truncated joined_midstream:0', 'GET /2 > 200 3 complete', 'lost joined_midstream:0'],
  ],
  [
    '80 bytes of each packet',
    () => all(two(), { snaplen: 80 }),
    ['GET /1 > 200 truncated snaplen:17', 'GET /2 > 200 truncated snaplen:17', 'lost snaplen:34'],
  ],
  ['all payload cut', () => all(two(), { snaplen: 54 }), ['lost snaplen:138']],
  [
    'the payload of the first call cut',
    () => fileOf(two().packets.map((p, i) => (i === 3 || i === 4 ? { ...p, snaplen: 54 } : p))),
    ['GET /2 > 200 3 complete', 'lost snaplen:69'],
  ],
  [
    'an IP fragment',
    () => changed(two(), 3, { fragment: 0x2000 }),
    ['- > 200 3 truncated gap:28', 'GET /2 > 200 3 complete', 'lost gap:28 ip_fragment:48'],
  ],
  [
    'the second of three pipelined requests',
    () => without(pipelined(), [4]),
    [
      'GET /1 > 200 1 complete',
      '- > 200 2 truncated gap:0',
      '- > 200 3 truncated gap:0',
      // The third was passed over, and shows that the client pipelines: it may slide.
      'GET /4 > 200 4 truncated gap:0',
      'lost gap:28 desync:28',
    ],
  ],
  [
    'the second of three pipelined answers',
    () => without(pipelined(), [7]),
    [
      'GET /1 > 200 1 complete',
      'GET /2 > - truncated gap:0',
      'GET /3 > - truncated gap:0',
      'GET /4 > 200 4 truncated gap:0',
      'lost gap:40 desync:41',
    ],
  ],
  [
    'four bytes of an answer, and the next one comes in pieces',
    () =>
      without(
        new Talk()
          .open()
          .client(get('/1'))
          .server('HTTP/1.1 ', '200 ', 'OK\r\nContent-Length: 1\r\n\r\nx')
          .client(get('/2'))
          .server('HTTP', '/1.1 200 OK\r\nContent-Length: 1\r\n\r\ny')
          .close(),
        [5],
      ),
    ['GET /1 > - truncated desync:0', 'GET /2 > - truncated desync:0', 'lost gap:4 desync:74'],
  ],
  [
    'all three pipelined requests',
    () => without(pipelined(), [3, 4, 5]),
    [
      '- > 200 1 truncated gap:84',
      '- > 200 2 truncated gap:0',
      '- > 200 3 truncated gap:0',
      'GET /4 > 200 4 complete',
      'lost gap:84',
    ],
  ],
]; // prettier-ignore

describe.each<[string, Case[]]>([
  ['numbers and order', NUMBERS],
  ['bytes that contradict one another', CONFLICTS],
  ['a reset', RESETS],
  ['openings', OPENINGS],
  ['what is missing', MISSING],
])('%s', (_, cases) => {
  test.each(cases)('%s', async (_name, capture, says) => {
    expect(said(await replayed(capture()))).toEqual(says);
  });
});

describe('links and headers', () => {
  const LINKS: LinkName[] = ['ethernet', 'vlan', 'qinq', 'raw', 'raw12', 'ipv4', 'sll', 'sll2', 'null', 'loop'];
  test.each(LINKS)('%s', async (link) => {
    expect(said(await replayed(two().bytes({ link })))).toEqual(BOTH);
  });

  test('IPv6 extension headers, IP and TCP options', async () => {
    const v6 = two({ client: '2001:db8::1', server: '2001:db8::2' });
    const extensions: [number, Uint8Array][] = [
      [0, Buffer.alloc(8)],
      [60, Buffer.alloc(16)],
      [43, Buffer.alloc(8)],
    ];
    expect(said(await replayed(all(v6, { extensions })))).toEqual(BOTH);
    expect(
      said(await replayed(all(two(), { ipOptions: Buffer.alloc(8, 1), tcpOptions: Buffer.alloc(12, 1) }))),
    ).toEqual(BOTH);
  });
});
