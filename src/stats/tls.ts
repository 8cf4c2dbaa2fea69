/**
 * What the handshakes of a service's TLS connections agreed on, for each side. Counts are exact; names that peers choose are
 * kept up to a bound, first come, and counted as `other` beyond it. Two states merge into that of both spans.
 */
import { OTHER, type Side } from '../model/connection.ts';
import type { TlsFacts } from '../model/tls.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import { type Percentiles, percentiles } from './report.ts';
import { ExponentialHistogram } from './sketch/histogram.ts';

/** What is counted by name, in the order in which it is stored. */
export const TLS_NAMES = ['versions', 'ciphers', 'alpn', 'server_names', 'ja4', 'alpn_offered'] as const;
type Names = (typeof TLS_NAMES)[number];
/** Different names of one kind in one state. */
export const TLS_NAMES_MAX = 64;
/** Services on a side; further ones share one state. */
export const TLS_SERVICES_MAX = 256;
/** Longer than any host name (RFC 1035 2.3.4). */
const NAME_BYTES_MAX = 256;
const NS_PER_S = 1e9;
const VERSION = 2;
/** Version 1 has no `alpn_offered`. */
const NAMES_OF_VERSION_1 = 5;

const COUNTS = ['connections', 'decrypted', 'resumed', 'full', 'early_data', 'client_certificates'] as const;
type Count = (typeof COUNTS)[number];

export class TlsState {
  readonly counts = Object.fromEntries(COUNTS.map((name) => [name, 0])) as Record<Count, number>;
  readonly names = Object.fromEntries(TLS_NAMES.map((name) => [name, new Map()])) as Record<Names, Map<string, number>>;
  /** ClientHello to the client's Finished, ns. */
  readonly handshake = new ExponentialHistogram(NS_PER_S);
  /** The first end of a server certificate that was seen, Unix seconds; null: none was. */
  certificateNotAfter: number | null = null;
  /** The same of those seen since `forgetCertificates` was last called. */
  #latelyNotAfter: number | null = null;

  observe(facts: TlsFacts): void {
    const { counts } = this;
    counts.connections++;
    if (facts.decrypted) counts.decrypted++;
    if (facts.resumed !== null) counts[facts.resumed ? 'resumed' : 'full']++;
    if (facts.earlyData) counts.early_data++;
    if (facts.clientCertificate) counts.client_certificates++;
    if (facts.version !== '') this.#name('versions', facts.version, 1);
    if (facts.cipher !== '') this.#name('ciphers', facts.cipher, 1);
    if (facts.alpn !== '') this.#name('alpn', facts.alpn, 1);
    if (facts.sni !== '') this.#name('server_names', facts.sni.toLowerCase(), 1);
    if (facts.ja4 !== '') this.#name('ja4', facts.ja4, 1);
    if (facts.alpnOffered.length > 0) this.#name('alpn_offered', facts.alpnOffered.join(','), 1);
    if (facts.handshakeNs >= 0) this.handshake.record(facts.handshakeNs);
    this.#ends(facts.certificateNotAfter);
  }

  #name(kind: Names, name: string, count: number): void {
    const known = this.names[kind];
    const fits = known.has(name) || (known.size < TLS_NAMES_MAX && name.length <= NAME_BYTES_MAX / 2);
    const key = fits ? name : OTHER;
    known.set(key, (known.get(key) ?? 0) + count);
  }

  #ends(at: number | null): void {
    if (at === null) return;
    this.certificateNotAfter = Math.min(at, this.certificateNotAfter ?? at);
    this.#latelyNotAfter = Math.min(at, this.#latelyNotAfter ?? at);
  }

  /** Of certificates that were not seen since the last call nothing is known any more: one that was renewed ends no more. */
  forgetCertificates(): void {
    this.certificateNotAfter = this.#latelyNotAfter;
    this.#latelyNotAfter = null;
  }

  /** Adds what `other` holds; `other` stays as it is. */
  merge(other: TlsState): void {
    for (const name of COUNTS) this.counts[name] += other.counts[name];
    for (const kind of TLS_NAMES) for (const [name, count] of other.names[kind]) this.#name(kind, name, count);
    this.handshake.merge(other.handshake);
    this.#ends(other.certificateNotAfter);
  }

  encode(): Uint8Array {
    const out = new ByteWriter();
    out.byte(VERSION);
    for (const name of COUNTS) out.varint(this.counts[name]);
    for (const kind of TLS_NAMES) {
      out.varint(this.names[kind].size);
      for (const [name, count] of this.names[kind]) {
        out.text(name);
        out.varint(count);
      }
    }
    out.byte(this.certificateNotAfter === null ? 0 : 1);
    if (this.certificateNotAfter !== null) out.zigzag(this.certificateNotAfter);
    this.handshake.encode(out);
    return out.take();
  }

  /** What `encode` wrote; null when the bytes are none of ours. */
  static decode(bytes: Uint8Array): TlsState | null {
    const from = new ByteReader(bytes);
    const version = from.byte();
    if (version !== VERSION && version !== 1) return null;
    const state = new TlsState();
    for (const name of COUNTS) state.counts[name] = from.varint();
    for (const kind of version === 1 ? TLS_NAMES.slice(0, NAMES_OF_VERSION_1) : TLS_NAMES) {
      const size = from.varint();
      // One more than the bound: `other`.
      if (size > TLS_NAMES_MAX + 1) return null;
      for (let i = 0; i < size && from.ok; i++) state.names[kind].set(from.text(NAME_BYTES_MAX), from.varint());
    }
    if (from.byte() === 1) state.certificateNotAfter = from.zigzag();
    return from.ok && state.handshake.decode(from) && from.left === 0 ? state : null;
  }
}

/** TLS of a service on one side. Shares are of the connections where it is known. */
export interface TlsReport {
  readonly service: string;
  readonly side: string;
  readonly connections: number;
  readonly decrypted: number;
  /** Share of the handshakes that resumed a session; null: of none is it known. */
  readonly resumption: number | null;
  readonly early_data: number;
  readonly client_certificates: number;
  /** Time of the handshakes, ns. */
  readonly handshake: Percentiles;
  readonly versions: Readonly<Record<string, number>>;
  readonly ciphers: Readonly<Record<string, number>>;
  readonly alpn: Readonly<Record<string, number>>;
  /** By what the clients offered, joined by commas. */
  readonly alpn_offered: Readonly<Record<string, number>>;
  readonly server_names: Readonly<Record<string, number>>;
  readonly ja4: Readonly<Record<string, number>>;
  /** RFC 3339: when the first of the servers' certificates ends; null: none was seen. */
  readonly certificate_not_after: string | null;
}

/** The states of all services, by side. */
export class TlsStatistics {
  readonly #states = new Map<string, { service: string; side: Side; state: TlsState }>();

  /** Counts a connection, once. */
  observe(service: string, side: Side, facts: TlsFacts): void {
    this.#state(service, side).observe(facts);
  }

  /** Adds what `encode` wrote of a service's state; false: the bytes are none of ours, and nothing was added. */
  add(service: string, side: Side, bytes: Uint8Array): boolean {
    const state = TlsState.decode(bytes);
    if (state !== null) this.addState(service, side, state);
    return state !== null;
  }

  addState(service: string, side: Side, state: TlsState): void {
    this.#state(service, side).merge(state);
  }

  /** Adds all that `other` holds; it stays as it is. */
  merge(other: TlsStatistics): void {
    for (const { service, side, state } of other) this.#state(service, side).merge(state);
  }

  forgetCertificates(): void {
    for (const { state } of this.#states.values()) state.forgetCertificates();
  }

  get size(): number {
    return this.#states.size;
  }

  [Symbol.iterator](): Iterator<{ readonly service: string; readonly side: Side; readonly state: TlsState }> {
    return this.#states.values();
  }

  /** By connections, most first. */
  report(): TlsReport[] {
    return [...this]
      .map(({ service, side, state }) => tlsReport(service, side, state))
      .sort((a, b) => b.connections - a.connections || (a.service < b.service ? -1 : a.service > b.service ? 1 : 0));
  }

  #state(service: string, side: Side): TlsState {
    let key = `${side} ${service}`;
    let name = service;
    if (!this.#states.has(key) && this.#states.size >= TLS_SERVICES_MAX) {
      name = OTHER;
      key = `${side} ${OTHER}`;
    }
    let row = this.#states.get(key);
    if (row === undefined) {
      row = { service: name, side, state: new TlsState() };
      this.#states.set(key, row);
    }
    return row.state;
  }
}

export function tlsReport(service: string, side: string, state: TlsState): TlsReport {
  const { counts, names, certificateNotAfter: end } = state;
  const known = counts.resumed + counts.full;
  const sorted = (kind: Names): Record<string, number> =>
    Object.fromEntries([...names[kind]].sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1)));
  return {
    service,
    side,
    connections: counts.connections,
    decrypted: counts.decrypted,
    resumption: known === 0 ? null : counts.resumed / known,
    early_data: counts.early_data,
    client_certificates: counts.client_certificates,
    handshake: percentiles(state.handshake),
    versions: sorted('versions'),
    ciphers: sorted('ciphers'),
    alpn: sorted('alpn'),
    alpn_offered: sorted('alpn_offered'),
    server_names: sorted('server_names'),
    ja4: sorted('ja4'),
    certificate_not_after: end === null || Math.abs(end) > 8.64e12 ? null : new Date(end * 1_000).toISOString(),
  };
}
