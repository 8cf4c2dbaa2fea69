/** HAR 1.2, entry by entry: a file of any length in the memory of one entry. */
import { type TimeFormatter, UNSEEN } from '../../base/clock.ts';
import type { Exchange } from '../../model/exchange.ts';
import type { FieldBlock } from '../../model/fields.ts';
import { anomalyNames, type Message } from '../../model/message.ts';
import type { Redacted } from '../../redact/redacted.ts';
import { schemeAndAuthority } from '../target.ts';
import type { LogFormat, LogFormatOptions } from './format.ts';
import { asciiJson, wireText } from './json.ts';
import type { LineBuffer } from './line.ts';
import type { HeaderSelection } from './selection.ts';

interface Pair {
  name: string;
  value: string;
}

/** HAR has no null: a start that was not seen is the epoch, and a comment says so. */
const NO_TIME = '1970-01-01T00:00:00.000Z';

/** Milliseconds between two times, to the microsecond; 0 when one was not seen or they are out of order. */
const ms = (from: number, to: number): number =>
  from === UNSEEN || to === UNSEEN || to <= from ? 0 : Math.round((to - from) / 1e3) / 1e3;

/** The URL that the request asked for, absolute as HAR wants it. */
function urlOf(m: Redacted<Message>): string {
  const target = wireText(m.target);
  if (!target.startsWith('/') && target !== '*' && m.method !== 'CONNECT') return target;
  const { scheme, authority } = schemeAndAuthority(m);
  return `${scheme}://${wireText(authority)}${m.method === 'CONNECT' || target === '*' ? '' : target}`;
}

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

export class HarFormat implements LogFormat {
  readonly #id: LogFormatOptions['id'];
  readonly #time: TimeFormatter;
  readonly #headers: HeaderSelection | null;
  readonly #version: string;
  #entries = 0;

  /** `version`: Headwater's own, for `creator`. */
  constructor(options: LogFormatOptions, version: string) {
    this.#id = options.id;
    this.#time = options.time;
    this.#headers = options.headers ?? null;
    this.#version = version;
  }

  begin(): string {
    return `{"log":{"version":"1.2","creator":{"name":"Headwater","version":"${asciiJson(this.#version)}"},"pages":[],"entries":[\n`;
  }

  exchange(x: Redacted<Exchange>): string {
    const { request, response, connection } = x;
    const t0 = request?.firstByteAt ?? UNSEEN;
    const t1 = request?.lastByteAt ?? UNSEEN;
    const t2 = response?.firstByteAt ?? UNSEEN;
    const t3 = response?.lastByteAt ?? UNSEEN;
    const start = t0 !== UNSEEN ? t0 : t2;
    // A response that begins before the request has ended leaves nothing to wait for.
    const sent = t1 === UNSEEN || (t2 !== UNSEEN && t2 < t1) ? t2 : t1;
    const send = ms(t0, sent);
    const wait = ms(sent, t2);
    const receive = ms(t2, t3);
    const entry = {
      startedDateTime: start === UNSEEN ? NO_TIME : this.#time.format(start),
      time: send + wait + receive,
      request: this.#request(request),
      response: this.#response(response),
      cache: {},
      timings: { blocked: -1, dns: -1, connect: -1, ssl: -1, send, wait, receive },
      serverIPAddress: connection.server.address,
      connection: `${connection.id}`,
      ...(start === UNSEEN ? { comment: 'The capture has no time for this call.' } : {}),
      _id: this.#id(connection, x.ordinal),
      _outcome: x.outcome,
      _route: wireText(x.route),
      _anomalies: anomalyNames(x.anomalies),
      _losses: x.losses,
      _interim: x.interim.map((i) => ({
        status: i.status,
        headers: i.fields
          .filter(([name]) => this.#shows(name.toLowerCase()))
          .map(([name, value]) => ({ name: wireText(name), value: wireText(value) })),
      })),
    };
    return `${this.#entries++ === 0 ? '' : ','}${JSON.stringify(entry).replace(/[\x7f-\uffff]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`)}\n`;
  }

  encode(x: Redacted<Exchange>, out: LineBuffer): void {
    out.text(this.exchange(x));
  }

  websocket(): string {
    return '';
  }

  end(): string {
    return ']}}\n';
  }

  #shows(lower: string): boolean {
    return this.#headers === null || this.#headers.includes(lower);
  }

  #fields(block: Redacted<FieldBlock> | null): Pair[] {
    const out: Pair[] = [];
    if (block === null) return out;
    for (let i = 0; i < block.count; i++)
      if (this.#shows(block.lower(i))) out.push({ name: wireText(block.raw(i)), value: wireText(block.value(i)) });
    return out;
  }

  #request(m: Redacted<Message> | null): object {
    if (m === null) {
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
    const headers = this.#fields(m.fields);
    const url = urlOf(m);
    return {
      method: wireText(m.method),
      url,
      httpVersion: versionOf(m),
      cookies: headers.flatMap(({ name, value }) => (name.toLowerCase() === 'cookie' ? pairs(value, /; ?/) : [])),
      headers,
      queryString: queryOf(url),
      headersSize: m.headBytes,
      bodySize: m.bodyBytes,
      ...(m.trailers === null ? {} : { _trailers: this.#fields(m.trailers) }),
    };
  }

  #response(m: Redacted<Message> | null): object {
    if (m === null) {
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
    const headers = this.#fields(m.fields);
    return {
      status: m.status,
      statusText: wireText(m.reason),
      httpVersion: versionOf(m),
      cookies: headers.flatMap(({ name, value }) =>
        name.toLowerCase() === 'set-cookie' ? pairs(value.split('; ', 1)[0]!, /$^/) : [],
      ),
      headers,
      content: { size: m.bodyBytes, mimeType: firstOf(headers, 'content-type') },
      redirectURL: firstOf(headers, 'location'),
      headersSize: m.headBytes,
      bodySize: m.bodyBytes,
      ...(m.trailers === null ? {} : { _trailers: this.#fields(m.trailers) }),
    };
  }
}

const firstOf = (headers: readonly Pair[], lower: string): string =>
  headers.find(({ name }) => name.toLowerCase() === lower)?.value ?? '';

const versionOf = (m: Redacted<Message>): string =>
  m.version === 10 ? 'HTTP/1.0' : m.version === 20 ? 'HTTP/2' : 'HTTP/1.1';
