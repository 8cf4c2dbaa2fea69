/**
 * Captured packets for local commands, as a pcapng file that is still being written: /v1/packets?seconds=N[&secrets=1]. Raw: nothing in
 * it is redacted. A taker that is too slow loses packets, which are counted, and holds up nobody.
 */
import type { ServerResponse } from 'node:http';
import { PcapngStream } from '../export/pcapng/stream.ts';
import type { LossSink } from '../model/loss.ts';
import type { Segment } from '../model/segment.ts';
import { sendError } from './http.ts';

export const PACKET_SECONDS_MAX = 3_600;
/** Files that are written at once. */
export const PACKET_STREAMS_MAX = 2;
/** Bytes of one of them that may wait. */
const WAITING_BYTES_MAX = 16 << 20;
const TICK_MS = 50;

export interface PacketHubOptions {
  readonly losses: LossSink;
  /** Program and version. */
  readonly application: string;
  /** Unix time of the segments' time 0. */
  readonly wallNs: bigint;
  /** TLS secrets can be handed out; false: the agent takes none. */
  readonly secrets: boolean;
  /** Somebody wants packets, and secrets; or nobody does any more. Called at every change. */
  readonly wanted: (packets: boolean, secrets: boolean) => void;
  /** Called before waiting packets are handed on: the moment to bring secrets. */
  readonly beforeHandingOn: () => void;
  /** Tells the operator that raw traffic leaves the agent. */
  readonly say: (text: string) => void;
}

interface Taker {
  readonly stream: PcapngStream;
  readonly response: ServerResponse;
  readonly secrets: boolean;
  readonly end: NodeJS.Timeout;
}

export class PacketHub {
  readonly #options: PacketHubOptions;
  readonly #takers = new Set<Taker>();
  #timer: NodeJS.Timeout | undefined;

  constructor(options: PacketHubOptions) {
    this.#options = options;
  }

  /** Answers a request for packets: they come from now on. */
  answer(parameters: URLSearchParams, headOnly: boolean, response: ServerResponse): void {
    const seconds = Number(parameters.get('seconds'));
    const secrets = parameters.get('secrets') === '1';
    const refusal = this.#refusal(seconds, secrets);
    if (refusal !== null) {
      sendError(response, ...refusal);
      return;
    }
    response.writeHead(200, { 'content-type': 'application/x-pcapng', 'cache-control': 'no-store' });
    response.flushHeaders();
    if (headOnly) response.end();
    else this.#join(response, seconds, secrets);
  }

  /** Status, code and message; null: it may have them. */
  #refusal(seconds: number, secrets: boolean): [number, string, string] | null {
    if (!Number.isInteger(seconds) || seconds < 1 || seconds > PACKET_SECONDS_MAX)
      return [400, 'bad_request', `seconds must be a whole number from 1 to ${PACKET_SECONDS_MAX}`];
    if (secrets && !this.#options.secrets)
      return [403, 'no_secrets', 'it takes no TLS secrets: headwater status says why'];
    if (this.#takers.size >= PACKET_STREAMS_MAX)
      return [503, 'too_many_streams', 'others are taking packets already: wait until they have ended'];
    return null;
  }

  #join(response: ServerResponse, seconds: number, secrets: boolean): void {
    const { losses, application, wallNs } = this.#options;
    this.#options.say(`packets are handed out for ${seconds} s${secrets ? ', with TLS secrets' : ''}`);
    const stream = new PcapngStream({
      application,
      wallNs,
      secrets,
      bytesMax: WAITING_BYTES_MAX,
      write: (bytes, release) => response.write(bytes, release),
      dropped: (packets, bytes) => losses.lose('packets_slow', packets, bytes),
    });
    const taker: Taker = { stream, response, secrets, end: setTimeout(() => this.#finish(taker), seconds * 1_000) };
    this.#takers.add(taker);
    this.#timer ??= setInterval(this.#tick, TICK_MS);
    response.on('close', () => this.#leave(taker));
    this.#tell();
  }

  /** A captured segment; valid during the call only. */
  segment(segment: Segment): void {
    const now = performance.now();
    for (const { stream } of this.#takers) stream.segment(segment, now);
  }

  /** Lines of a key log, for those who asked for them; copied. */
  secrets(keyLog: Buffer): void {
    for (const taker of this.#takers) if (taker.secrets) taker.stream.secrets(keyLog);
  }

  #tick = (): void => {
    this.#options.beforeHandingOn();
    const now = performance.now();
    for (const { stream } of this.#takers) stream.tick(now);
  };

  #finish(taker: Taker): void {
    if (!this.#takers.has(taker)) return;
    this.#options.beforeHandingOn();
    taker.stream.end();
    taker.response.end();
    this.#leave(taker);
  }

  #leave(taker: Taker): void {
    if (!this.#takers.delete(taker)) return;
    clearTimeout(taker.end);
    this.#tell();
    if (this.#takers.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #tell(): void {
    const takers = [...this.#takers];
    this.#options.wanted(
      takers.length > 0,
      takers.some(({ secrets }) => secrets),
    );
  }

  /** Ends every file after what came. */
  close(): void {
    for (const taker of [...this.#takers]) this.#finish(taker);
  }
}
