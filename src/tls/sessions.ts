/**
 * TLS 1.2 sessions that were seen to begin: by their id, or by the ticket that stands for them, the client random that their
 * master secret is known by. A connection that resumes one has a client random of its own, which a key log may not name.
 */
import { createHash } from 'node:crypto';

/** Sessions kept; the oldest makes room. */
const SESSIONS_MAX = 32_768;

/** A ticket is as long as its server likes: it is known by its hash (latin1). */
export const ticketName = (ticket: Uint8Array): string => createHash('sha256').update(ticket).digest().latin1Slice();

export class Sessions {
  readonly #randoms = new Map<string, string>();

  get size(): number {
    return this.#randoms.size;
  }

  /** `name`: a session id, or a ticket's name; ids have 32 bytes at most and tickets' names always, so one is not told from the other. */
  note(name: string, clientRandom: string): void {
    if (name === '') return;
    this.#randoms.delete(name);
    this.#randoms.set(name, clientRandom);
    if (this.#randoms.size <= SESSIONS_MAX) return;
    for (const oldest of this.#randoms.keys()) {
      this.#randoms.delete(oldest);
      return;
    }
  }

  find(name: string): string | null {
    return name === '' ? null : (this.#randoms.get(name) ?? null);
  }
}
