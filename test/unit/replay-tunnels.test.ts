/** What a client sends through a forward proxy (CONNECT) is read as if it spoke to the origin itself: real TLS, recorded without the proxy. */
import { expect, test } from 'vitest';
import { Talk } from '../fixtures/pcap/talk.ts';
import { type Replayed, replayed } from '../rig/replay.ts';
import { said } from './replay-lines.ts';
import { type Conversation, recording } from './tls/rig.ts';

const ASK = 'CONNECT localhost:8443 HTTP/1.1\r\nHost: localhost:8443\r\n\r\n';
const ANSWER = 'HTTP/1.1 200 Connection established\r\n\r\n';
const TUNNEL = 'http/1.1+connect CONNECT localhost:8443 > 200 upgraded';

const through = (talk: Talk, { events, client }: Conversation): Talk => {
  for (const event of events) {
    if (event.what !== 'data') continue;
    const text = event.bytes.toString('latin1');
    if (event.direction === client) talk.client(text);
    else talk.server(text);
  }
  return talk.close();
};

const facts = ({ exchanges }: Replayed): object[] =>
  exchanges
    .filter(({ request }) => request?.method !== 'CONNECT')
    .map(({ protocol, request, response, outcome, losses }) => ({ protocol, request, response, outcome, losses }));

const FILES = ['tls13-h1', 'tls13-h2', 'tls13-big', 'tls13-key-update', 'tls12-gcm128', 'tls12-renegotiation'];

test.each(FILES)('%s: in a tunnel, in one after another, with the hello before its answer', async (file) => {
  const { conversations, keylog } = await recording(file);
  const [conversation] = conversations;
  const [begin] = conversation!.events;
  const rest = { ...conversation!, events: conversation!.events.slice(1) };
  const keys = Buffer.from(keylog);
  const read = (talk: Talk): Promise<Replayed> => replayed(talk.bytes(), undefined, keys);
  const plain = await read(through(new Talk().open(), conversation!));
  const calls = said(plain);
  expect(calls.length).toBeGreaterThan(1);
  const once = await read(through(new Talk().open().client(ASK).server(ANSWER), conversation!));
  const twice = await read(
    through(new Talk().open().client(ASK).server(ANSWER).client(ASK).server(ANSWER), conversation!),
  );
  const hello = begin!.what === 'data' ? begin!.bytes.toString('latin1') : '';
  const early = await read(
    through(
      new Talk()
        .open()
        .client(ASK + hello)
        .server(ANSWER),
      rest,
    ),
  );
  expect(said(once)).toEqual([TUNNEL, ...calls]);
  expect(said(twice)).toEqual([TUNNEL, TUNNEL, ...calls]);
  expect(said(early)).toEqual([TUNNEL, ...calls]);
  for (const one of [once, twice, early]) expect(facts(one)).toEqual(facts(plain));
});
