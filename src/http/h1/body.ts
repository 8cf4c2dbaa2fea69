import type { Memory } from '../../base/memory.ts';
import type { LossReason } from '../../model/loss.ts';
import type { Message } from '../../model/message.ts';
import { Chunks } from './chunked.ts';
import type { Framing } from './framing.ts';

/** How a body that is there is delimited (RFC 9112 6.3). */
export type Delimited = Extract<Framing, 'length' | 'chunked' | 'close'>;

export type BodyOutcome =
  /** It goes on. */
  | 'more'
  /** It ended with the bytes taken. */
  | 'ended'
  /** Its last chunk ended: a trailer section follows. */
  | 'trailers'
  /** Its framing is broken. */
  | 'bad';

/** Where the body of a stream's present message is: takes its bytes, or is told how many of them never came. */
export class Body {
  outcome: BodyOutcome = 'more';
  #framing: Delimited = 'close';
  #remaining = 0;
  #chunks: Chunks | null = null;

  /** `contentLength`: of 'length'. */
  begin(framing: Delimited, contentLength: number): void {
    this.#framing = framing;
    if (framing === 'length') this.#remaining = contentLength;
    else if (framing === 'chunked') {
      this.#chunks ??= new Chunks();
      this.#chunks.begin();
    }
  }

  /** Takes what is its own of [at, end) and says in `outcome` what follows; returns where that begins. `lineBytes`: of a chunk-size line. */
  read(message: Message, memory: Memory, at: number, end: number, ts: number, lineBytes: number): number {
    if (this.#framing === 'chunked') return this.#readChunks(message, memory, at, end, ts, lineBytes);
    let next = end;
    this.outcome = 'more';
    if (this.#framing === 'length') {
      next = Math.min(end, at + this.#remaining);
      this.#remaining -= next - at;
      if (this.#remaining === 0) this.outcome = 'ended';
    }
    message.units?.read(memory, at, next, ts);
    message.bodyBytes += next - at;
    return next;
  }

  #readChunks(message: Message, memory: Memory, at: number, end: number, ts: number, lineBytes: number): number {
    const chunks = this.#chunks!;
    const next = chunks.read(memory, at, end, lineBytes, message.units, ts);
    message.bodyBytes = chunks.body;
    if (chunks.outcome === 'bad') message.anomalies |= chunks.anomalies;
    this.outcome = chunks.outcome === 'bad' ? 'bad' : chunks.outcome === 'last' ? 'trailers' : 'more';
    return next;
  }

  /** How many of the next bytes are data of which nobody needs more than the number. */
  spares(message: Message): number {
    if (message.units !== null) return 0;
    if (this.#framing === 'chunked') return this.#chunks!.remaining;
    return this.#framing === 'length' ? this.#remaining : Number.POSITIVE_INFINITY;
  }

  /**
   * `length` bytes will never come. Returns how many of them are the body's, which is then known to go on or to have `ended`
   * there; -1: framing is among them.
   */
  skip(message: Message, length: number, why: LossReason | 'left_out'): number {
    let own = length;
    this.outcome = 'more';
    if (this.#framing === 'chunked') {
      if (!this.#chunks!.miss(length)) own = -1;
      else message.bodyBytes = this.#chunks!.body;
    } else {
      if (this.#framing === 'length') {
        own = Math.min(length, this.#remaining);
        this.#remaining -= own;
        if (this.#remaining === 0) this.outcome = 'ended';
      }
      message.bodyBytes += own;
    }
    message.units?.skip(own < 0 ? length : own, why);
    return own;
  }

  /** `length` bytes were left out with framing among them: where it ends is to be found, and how long it was is estimated. */
  stray(message: Message, length: number, why: LossReason | 'left_out'): void {
    this.#chunks!.stray(length);
    message.bodyBytes = this.#chunks!.body;
    message.lose(why === 'left_out' ? 'window' : why, length);
  }

  get astray(): boolean {
    return this.#framing === 'chunked' && this.#chunks!.astray;
  }

  /** Where it is has been guessed. */
  get doubtful(): boolean {
    return this.#framing === 'chunked' && this.#chunks!.doubtful;
  }

  /** Where it is has been guessed, and its end may have been passed. */
  get mayHaveEnded(): boolean {
    return this.#framing === 'chunked' && this.#chunks!.mayHaveEnded;
  }
}
