/**
 * TLS statistics by the minute: everything since the start, the minute that runs, and the minutes that are over, for a report over a range and
 * for the store. A connection belongs to the minute in which its handshake was settled. Minutes are Unix minutes; one that comes back
 * (a clock that steps) is ended once more, and whoever keeps it merges both.
 */
import type { Side } from '../model/connection.ts';
import type { TlsFacts } from '../model/tls.ts';
import { TlsStatistics } from './tls.ts';

/** Bytes of ended minutes in memory; beyond it only the store has older ones. */
const RECENT_BYTES = 8 << 20;
const MINUTE_MS = 60_000;
/** A certificate that was not seen for so many minutes, or twice as many, was perhaps renewed. */
const CERTIFICATE_MINUTES = 24 * 60;

/** One service's part of a minute. */
export interface SealedTls {
  readonly minute: number;
  readonly service: string;
  readonly side: Side;
  /** TlsState.encode() of it. */
  readonly state: Uint8Array;
}

export class TlsMinutes {
  /** Since the start; of certificates the last day, or two. */
  readonly total = new TlsStatistics();
  #open = new TlsStatistics();
  #minute = Number.NaN;
  readonly #recent: SealedTls[] = [];
  #bytes = 0;
  /** How many of #recent, from its end, nobody took yet, and how many went before anybody did. */
  #untaken = 0;
  #lost = 0;
  /** Unix minute up to which, with it, states have gone. */
  #forgotten = Number.NEGATIVE_INFINITY;
  /** Unix minute in which certificates were last forgotten. */
  #certificatesFrom = Number.NaN;

  /** Counts a connection, once, in Unix minute `minute`. */
  observe(service: string, side: Side, facts: TlsFacts, minute: number): void {
    this.advance(minute);
    this.total.observe(service, side, facts);
    this.#open.observe(service, side, facts);
  }

  /** It is `minute`: another one is over. */
  advance(minute: number): void {
    if (minute === this.#minute) return;
    this.finish();
    this.#minute = minute;
    // A clock may step back far.
    if (Math.abs(minute - this.#certificatesFrom) < CERTIFICATE_MINUTES) return;
    this.#certificatesFrom = minute;
    this.total.forgetCertificates();
  }

  /** Ends the minute that runs. */
  finish(): void {
    if (this.#open.size === 0) return;
    for (const { service, side, state } of this.#open) {
      const encoded = state.encode();
      this.#recent.push({ minute: this.#minute, service, side, state: encoded });
      this.#bytes += encoded.length;
      this.#untaken++;
    }
    this.#open = new TlsStatistics();
    while (this.#bytes > RECENT_BYTES) {
      const { minute, state } = this.#recent.shift()!;
      this.#bytes -= state.length;
      this.#forgotten = Math.max(this.#forgotten, minute);
      if (this.#untaken <= this.#recent.length) continue;
      this.#untaken--;
      this.#lost++;
    }
  }

  /** States ended since the last call, each once, and how many were lost because nobody took them in time. */
  ended(): { readonly states: readonly SealedTls[]; readonly lost: number } {
    const states = this.#untaken === 0 ? [] : this.#recent.slice(-this.#untaken);
    const lost = this.#lost;
    this.#untaken = 0;
    this.#lost = 0;
    return { states, lost };
  }

  /** Unix ms from which on memory has every minute. */
  get sinceMs(): number {
    return (this.#forgotten + 1) * MINUTE_MS;
  }

  /** The minutes that [sinceMs, untilMs), in Unix time, touches. */
  range(sinceMs: number, untilMs: number): TlsStatistics {
    return this.#of(this.#recent, sinceMs, untilMs);
  }

  /** Of range() what `ended` has not handed over yet. */
  untaken(sinceMs: number, untilMs: number): TlsStatistics {
    return this.#of(this.#untaken === 0 ? [] : this.#recent.slice(-this.#untaken), sinceMs, untilMs);
  }

  /** Of these minutes, and of the one that runs. */
  #of(minutes: readonly SealedTls[], sinceMs: number, untilMs: number): TlsStatistics {
    const found = new TlsStatistics();
    const touches = (minute: number): boolean => (minute + 1) * MINUTE_MS > sinceMs && minute * MINUTE_MS < untilMs;
    for (const { minute, service, side, state } of minutes) if (touches(minute)) found.add(service, side, state);
    if (touches(this.#minute)) found.merge(this.#open);
    return found;
  }
}
