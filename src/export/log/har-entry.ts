/** A call of the header log as an entry of HAR 1.2. Pure. */
import type { ExchangeRecord, FieldPair, WebSocketRecord } from '../../model/record.ts';

/** What a line has beyond ExchangeRecord. */
export interface HarCall extends ExchangeRecord {
  readonly connection: string;
  readonly anomalies?: readonly string[];
  readonly response:
    | (NonNullable<ExchangeRecord['response']> & {
        readonly interim?: readonly { readonly status: number; readonly headers: readonly FieldPair[] }[];
      })
    | null;
}

interface Pair {
  name: string;
  value: string;
}

/** HAR has no null: a start that was not seen is the epoch, and a comment says so. */
const NO_TIME = '1970-01-01T00:00:00.000Z';
const HTTP_VERSION: Readonly<Record<string, string>> = { 'http/1.0': 'HTTP/1.0', h2: 'HTTP/2', h2c: 'HTTP/2' };

/** Milliseconds between two times, to the microsecond; 0 when one was not seen or they are out of order. */
const ms = (from: number | null, to: number | null): number =>
  from === null || to === null || to <= from ? 0 : Math.round((to - from) / 1e3) / 1e3;

const asPairs = (fields: readonly FieldPair[]): Pair[] => fields.map(([name, value]) => ({ name, value }));

/** name=value pairs as they were sent, divided by `separator`. */
function pairs(text: string, separator: RegExp): Pair[] {
  return text
    .split(separator)
    .filter((part) => part !== '')
    .map((part) => {
      const sign = part.indexOf('=');
      return sign < 0 ? { name: part, value: '' } : { name: part.slice(0, sign), value: part.slice(sign + 1) };
    });
}

const queryOf = (url: string): Pair[] => {
  const at = url.indexOf('?');
  return at < 0 ? [] : pairs(url.slice(at + 1).split('#', 1)[0]!, /&/);
};

const firstOf = (headers: readonly Pair[], lower: string): string =>
  headers.find(({ name }) => name.toLowerCase() === lower)?.value ?? '';

/** The URL that the request asked for, absolute as HAR wants it. */
function urlOf({ method, target, scheme, authority }: NonNullable<HarCall['request']>): string {
  if (target.startsWith('/')) return `${scheme}://${authority}${target}`;
  return target === '*' || method === 'CONNECT' ? `${scheme}://${authority}` : target;
}

/** `session`: what a WebSocket carried whose handshake this call is. */
export function harEntry(call: HarCall, session: WebSocketRecord | null = null): object {
  const {
    first_request_byte: t0,
    last_request_byte: t1,
    first_response_byte: t2,
    last_response_byte: t3,
  } = call.timing_ns;
  // A response that begins before the request has ended leaves nothing to wait for.
  const sent = t1 === null || (t2 !== null && t2 < t1) ? t2 : t1;
  const send = ms(t0, sent);
  const wait = ms(sent, t2);
  const receive = ms(t2, t3);
  const version = HTTP_VERSION[call.protocol] ?? 'HTTP/1.1';
  return {
    startedDateTime: call.ts ?? NO_TIME,
    time: send + wait + receive,
    request: requestOf(call.request, version),
    response: responseOf(call.response, version),
    cache: {},
    timings: { blocked: -1, dns: -1, connect: -1, ssl: -1, send, wait, receive },
    serverIPAddress: call.server.address,
    connection: call.connection,
    ...(call.ts === null ? { comment: 'The capture has no time for this call.' } : {}),
    _id: call.id,
    _outcome: call.outcome,
    _route: call.route,
    _anomalies: call.anomalies ?? [],
    _losses: call.losses,
    _interim: (call.response?.interim ?? []).map(({ status, headers }) => ({ status, headers: asPairs(headers) })),
    ...(session === null ? {} : { _webSocket: withoutNames(session) }),
  };
}

const withoutNames = ({ type: _, exchange: __, ...session }: WebSocketRecord): object => session;

function requestOf(request: HarCall['request'], httpVersion: string): object {
  if (request === null) {
    return {
      method: '',
      url: '',
      httpVersion: '',
      cookies: [],
      headers: [],
      queryString: [],
      headersSize: -1,
      bodySize: -1,
      comment: 'The request was not seen.',
    };
  }
  const headers = asPairs(request.headers);
  const url = urlOf(request);
  return {
    method: request.method,
    url,
    httpVersion,
    cookies: headers.flatMap(({ name, value }) => (name.toLowerCase() === 'cookie' ? pairs(value, /; ?/) : [])),
    headers,
    queryString: queryOf(url),
    headersSize: request.head_bytes,
    bodySize: request.body_bytes,
    ...(request.trailers.length === 0 ? {} : { _trailers: asPairs(request.trailers) }),
  };
}

function responseOf(response: HarCall['response'], httpVersion: string): object {
  if (response === null) {
    return {
      status: 0,
      statusText: '',
      httpVersion: '',
      cookies: [],
      headers: [],
      content: { size: 0, mimeType: '' },
      redirectURL: '',
      headersSize: -1,
      bodySize: -1,
      comment: 'No response was seen.',
    };
  }
  const headers = asPairs(response.headers);
  return {
    status: response.status,
    statusText: response.reason,
    httpVersion,
    cookies: headers.flatMap(({ name, value }) =>
      name.toLowerCase() === 'set-cookie' ? pairs(value.split('; ', 1)[0]!, /$^/) : [],
    ),
    headers,
    content: { size: response.body_bytes, mimeType: firstOf(headers, 'content-type') },
    redirectURL: firstOf(headers, 'location'),
    headersSize: response.head_bytes,
    bodySize: response.body_bytes,
    ...(response.trailers.length === 0 ? {} : { _trailers: asPairs(response.trailers) }),
  };
}
