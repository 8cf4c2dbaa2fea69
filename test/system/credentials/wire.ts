/** The bytes of calls, for scripted.ts: connections, each a list of [request, response] in base64. */

import { data, Encoder, headers as headersFrame, type Pair, PREFACE, settings } from '../../rig/h2/wire.ts';
import type { ExchangeSpec, Pairs } from '../../unit/log-rig.ts';

export type Wire = readonly [request: string, response: string];

/** Calls on one HTTP/2 connection: enough for the dynamic tables to be used. */
const H2_CALLS = 25;

const fields = (pairs: Pairs): string => pairs.map(([name, value]) => `${name}: ${value}\r\n`).join('');
const base64 = (text: string): string => Buffer.from(text, 'latin1').toString('base64');

/** HTTP/1.1: a connection a call. */
export const http1 = (specs: readonly ExchangeSpec[]): Wire[][] => specs.map((spec) => [wireOf(spec)]);

function wireOf({ request, response, interim = [], upgrade = '' }: ExchangeSpec): Wire {
  const { method = 'GET', target = '/', headers = [['Host', 'h.example']], trailers: sent } = request ?? {};
  const switched: Pairs =
    upgrade === ''
      ? []
      : [
          ['Connection', 'Upgrade'],
          ['Upgrade', upgrade],
        ];
  const framing = (trailers: Pairs | undefined, length: Pairs): Pairs =>
    trailers === undefined ? length : [['Transfer-Encoding', 'chunked']];
  const body = (trailers: Pairs | undefined, text: string): string =>
    trailers === undefined ? text : `0\r\n${fields(trailers)}\r\n`;
  const asked = `${method} ${target} HTTP/1.1\r\n${fields([...headers, ...switched, ...framing(sent, [])])}\r\n${body(sent, '')}`;
  const early = interim.map(
    (one) => `HTTP/1.1 ${one.status} Early Hints\r\n${fields(one.fields as unknown as Pairs)}\r\n`,
  );
  const { reason = 'OK', headers: own = [], trailers: told } = response ?? {};
  const status = upgrade !== '' ? 101 : method === 'CONNECT' ? 403 : 200;
  const closing: Pairs = upgrade !== '' ? switched : framing(told, [['Content-Length', '2']]);
  const answered = `HTTP/1.1 ${status} ${reason}\r\n${fields([...own, ...closing])}\r\n${body(told, upgrade === '' ? 'ok' : '')}`;
  return [base64(asked), base64(early.join('') + answered)];
}

/** HTTP/2: some calls a connection, one after another. A reason phrase has no place in it. */
export function http2(specs: readonly ExchangeSpec[]): Wire[][] {
  const connections: Wire[][] = [];
  for (let at = 0; at < specs.length; at += H2_CALLS) {
    const asks = new Encoder();
    const answers = new Encoder();
    connections.push(
      specs.slice(at, at + H2_CALLS).map((spec, i): Wire => {
        const request = requestFrames(spec, asks, 2 * i + 1);
        const response = responseFrames(spec, answers, 2 * i + 1);
        const opening = i === 0;
        return [
          Buffer.concat(opening ? [PREFACE, settings(), request] : [request]).toString('base64'),
          Buffer.concat(opening ? [settings(), response] : [response]).toString('base64'),
        ];
      }),
    );
  }
  return connections;
}

const lowerCase = (pairs: Pairs): Pair[] => pairs.map(([name, value]) => [name.toLowerCase(), value]);

function requestFrames({ request, upgrade = '' }: ExchangeSpec, encoder: Encoder, id: number): Buffer {
  const { method = 'GET', target = '/', headers = [['Host', 'h.example']], trailers } = request ?? {};
  const authority = headers.find(([name]) => name === 'Host')?.[1] ?? target;
  const pseudo: Pair[] = [
    [':method', upgrade === '' ? method : 'CONNECT'],
    ...(method === 'CONNECT'
      ? []
      : ([
          [':scheme', 'https'],
          [':path', target],
        ] satisfies Pair[])),
    [':authority', authority],
    ...(upgrade === '' ? [] : ([[':protocol', upgrade]] satisfies Pair[])),
  ];
  const own = lowerCase(headers.filter(([name]) => name !== 'Host'));
  return sent(encoder, id, [...pseudo, ...own], trailers, '');
}

function responseFrames({ response, interim = [] }: ExchangeSpec, encoder: Encoder, id: number): Buffer {
  const early = interim.map(({ status, fields: own }) =>
    headersFrame(id, encoder.block([[':status', `${status}`], ...lowerCase(own as unknown as Pairs)]), false),
  );
  const { headers = [], trailers } = response ?? {};
  return Buffer.concat([...early, sent(encoder, id, [[':status', '200'], ...lowerCase(headers)], trailers, 'ok')]);
}

/** A message: header block, body, trailers. */
function sent(encoder: Encoder, id: number, head: readonly Pair[], trailers: Pairs | undefined, body: string): Buffer {
  const frames = [headersFrame(id, encoder.block(head), trailers === undefined && body === '')];
  if (body !== '') frames.push(data(id, body, trailers === undefined));
  if (trailers !== undefined) frames.push(headersFrame(id, encoder.block(lowerCase(trailers)), true));
  return Buffer.concat(frames);
}
