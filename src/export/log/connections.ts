/** The parts of a line that are the same for all exchanges of a connection. */
import { assert } from '../../base/assert.ts';
import { latin1Bytes } from '../../base/memory.ts';
import type { Connection, ProcessInfo, Side } from '../../model/connection.ts';
import type { Protocol } from '../../model/exchange.ts';
import type { TlsFacts } from '../../model/tls.ts';
import type { BlockText } from './blocks.ts';
import type { LogFormatOptions } from './format.ts';
import { asciiJson, wireJson } from './json.ts';

/** Connections whose text is kept: a direct-mapped table, so a busy host replaces entries instead of growing. */
const CONNECTIONS_KEPT = 1_024;

const endpoint = (name: string, { address, port }: { address: string; port: number }): string =>
  `,"${name}":{"address":"${wireJson(address)}","port":${port}}`;

function processJson(info: ProcessInfo | null): string {
  if (info === null) return 'null';
  const container = info.container === null ? '' : `,"container":"${asciiJson(info.container)}"`;
  return `{"pid":${info.pid},"name":"${asciiJson(info.name)}","cgroup":"${asciiJson(info.cgroup)}"${container},"evidence":"${info.evidence}"}`;
}

/** Empty without TLS; what is not known is left out. */
function tlsJson(tls: TlsFacts | null): string {
  if (tls === null) return '';
  const parts = [`"version":"${tls.version}"`];
  if (tls.sni !== '') parts.push(`"sni":"${wireJson(tls.sni)}"`);
  if (tls.alpn !== '') parts.push(`"alpn":"${wireJson(tls.alpn)}"`);
  if (tls.cipher !== '') parts.push(`"cipher":"${tls.cipher}"`);
  return `,"tls":{${parts.join(',')}}`;
}

const BEGIN = '{"type":"exchange","id":"';

/** Longer schemes and authorities are written anew each time. */
const PLACE_CHARS_MAX = 256;

/** Where HTTP/2 requests go: what stands between their target and their header fields. */
interface Place {
  readonly scheme: string;
  readonly authority: string;
  /** null: not made yet, or it cannot be kept. */
  bytes: Uint8Array | null;
}

/** One connection's text, and what it was made from. */
export class ConnectionText {
  readonly #connection: Connection;
  readonly #process: ProcessInfo | null;
  readonly #service: string;
  readonly #side: Side;
  readonly #clientDirection: number;
  /** The last thing to be known of a TLS handshake. */
  readonly #alpn: string;
  readonly protocol: Protocol;
  /** From the line's first character to where the ordinal goes. */
  readonly begin: Uint8Array;
  /** `,"protocol":"http/1.1"`. */
  readonly protocolPart: Uint8Array;
  /** From `,"side"` to where the route goes. */
  readonly rest: Uint8Array;
  /** `protocolPart` and `rest` in one: what stands there when nothing is between them. */
  readonly whole: Uint8Array;
  /** Lines of the last request and response: most often those of the next ones. */
  request: BlockText | null = null;
  response: BlockText | null = null;
  /** Of the last request in HTTP/2: most often that of the next one. */
  #place: Place | null = null;

  constructor(connection: Connection, protocol: Protocol, prefix: string) {
    this.#connection = connection;
    this.#process = connection.process;
    this.#service = connection.service;
    this.#side = connection.side;
    this.#clientDirection = connection.clientDirection;
    this.#alpn = connection.tls?.alpn ?? '';
    this.protocol = protocol;
    this.begin = latin1Bytes(`${BEGIN}${prefix}-`);
    const protocolPart = `,"protocol":"${protocol}"`;
    const { process, service, side, client, server } = connection;
    const rest =
      `,"side":"${side}","service":"${asciiJson(service)}","connection":"${prefix}","process":${processJson(process)}` +
      `${endpoint('client', client)}${endpoint('server', server)}${tlsJson(connection.tls)},"route":"`;
    this.whole = latin1Bytes(protocolPart + rest);
    this.protocolPart = this.whole.subarray(0, protocolPart.length);
    this.rest = this.whole.subarray(protocolPart.length);
  }

  /** What is remembered of this scheme and authority; null: nothing, because the request before had others. */
  placeOf(scheme: string, authority: string): Place | null {
    const place = this.#place;
    if (place !== null && place.scheme === scheme && place.authority === authority) return place;
    this.#place = scheme.length + authority.length > PLACE_CHARS_MAX ? null : { scheme, authority, bytes: null };
    return null;
  }

  fits(connection: Connection, protocol: Protocol): boolean {
    return (
      this.#connection === connection &&
      this.#process === connection.process &&
      this.#service === connection.service &&
      this.#side === connection.side &&
      this.#clientDirection === connection.clientDirection &&
      this.#alpn === (connection.tls?.alpn ?? '') &&
      this.protocol === protocol
    );
  }
}

export class ConnectionTexts {
  readonly #id: LogFormatOptions['id'];
  readonly #texts: (ConnectionText | undefined)[] = new Array(CONNECTIONS_KEPT);

  constructor(id: LogFormatOptions['id']) {
    this.#id = id;
  }

  of(connection: Connection, protocol: Protocol): ConnectionText {
    const slot = connection.id & (CONNECTIONS_KEPT - 1);
    const kept = this.#texts[slot];
    if (kept?.fits(connection, protocol)) return kept;
    const id = this.#id(connection, 0);
    assert(id.endsWith('-0'), 'an id ends in a hyphen and the ordinal');
    const made = new ConnectionText(connection, protocol, id.slice(0, -2));
    this.#texts[slot] = made;
    return made;
  }
}
