/**
 * Live calls for viewers. Pushed, never polled: a call is formatted once, and only when somebody's filter wants it. A
 * viewer that is too slow loses lines, is told how many, and holds up nobody.
 */
import type { ServerResponse } from 'node:http';
import type { LossSink } from '../model/loss.ts';
import type { TailLostRecord } from '../model/record.ts';
import type { TailStatus } from '../model/status.ts';
import type { Filter } from '../query/filter.ts';
import type { FilterSubject } from '../query/subject.ts';

export const VIEWERS_MAX = 16;
/** Handshakes of WebSockets that one viewer was shown and whose sessions go on; of older ones no end is shown. */
const HANDSHAKES_MAX = 4_096;
/** Bytes that may wait for one viewer. */
const VIEWER_QUEUE_MAX = 2 ** 20;

class Viewer {
  readonly response: ServerResponse;
  readonly filter: Filter | null;
  /** Ids of the handshakes that it was shown. */
  readonly handshakes = new Set<string>();
  /** Lines since the last flush. */
  pending = '';
  flushing = false;
  /** Lines lost since this viewer was last told. */
  lost = 0;

  constructor(response: ServerResponse, filter: Filter | null) {
    this.response = response;
    this.filter = filter;
  }
}

function remember(handshakes: Set<string>, id: string): void {
  if (handshakes.size >= HANDSHAKES_MAX) handshakes.delete(handshakes.values().next().value!);
  handshakes.add(id);
}

export class TailHub {
  readonly #losses: LossSink;
  readonly #viewers = new Set<Viewer>();
  #sent = 0;
  #lost = 0;

  constructor(losses: LossSink) {
    this.#losses = losses;
  }

  /** False: nobody looks, so `publish` need not be called. */
  get watched(): boolean {
    return this.#viewers.size > 0;
  }

  get full(): boolean {
    return this.#viewers.size >= VIEWERS_MAX;
  }

  status(): TailStatus {
    return { viewers: this.#viewers.size, sent: this.#sent, lost: this.#lost };
  }

  /**
   * Hands a call to every viewer whose filter wants it. `line` makes its header log line (without newline) and is called
   * at most once. `handshake`: its id, when a WebSocket begins with it.
   */
  publish(subject: FilterSubject, line: () => string, handshake: string | null = null): void {
    let text: string | null = null;
    for (const viewer of this.#viewers) {
      if (viewer.filter !== null && !viewer.filter.matches(subject)) continue;
      text ??= `${line()}\n`;
      this.#push(viewer, text);
      if (handshake !== null) remember(viewer.handshakes, handshake);
    }
  }

  /** Hands what a WebSocket carried to the viewers that were shown its handshake. `line` as in `publish`. */
  websocket(handshake: string, line: () => string): void {
    let text: string | null = null;
    for (const viewer of this.#viewers) {
      if (!viewer.handshakes.delete(handshake)) continue;
      text ??= `${line()}\n`;
      this.#push(viewer, text);
    }
  }

  #push(viewer: Viewer, text: string): void {
    if (viewer.pending.length + viewer.response.writableLength + text.length > VIEWER_QUEUE_MAX) {
      viewer.lost++;
      this.#lost++;
      this.#losses.lose('tail_slow', 1, text.length);
      return;
    }
    viewer.pending += text;
    this.#sent++;
    if (viewer.flushing) return;
    viewer.flushing = true;
    // One write for all calls of this turn of the event loop.
    setImmediate(() => this.#flush(viewer));
  }

  #flush(viewer: Viewer): void {
    viewer.flushing = false;
    if (viewer.response.destroyed) return;
    if (viewer.lost > 0) {
      const notice: TailLostRecord = { type: 'tail_lost', count: viewer.lost };
      viewer.pending += `${JSON.stringify(notice)}\n`;
      viewer.lost = 0;
    }
    if (viewer.pending === '') return;
    viewer.response.write(viewer.pending);
    viewer.pending = '';
  }

  /** Adds a viewer whose response head has been written; it leaves when its connection closes. */
  join(response: ServerResponse, filter: Filter | null): void {
    const viewer = new Viewer(response, filter);
    this.#viewers.add(viewer);
    response.on('close', () => this.#viewers.delete(viewer));
    // Room again: tell what was lost meanwhile, even if no call comes after it.
    response.on('drain', () => this.#flush(viewer));
  }

  /** Ends every stream after what was published. */
  close(): void {
    for (const viewer of this.#viewers) {
      this.#flush(viewer);
      viewer.response.end();
    }
    this.#viewers.clear();
  }
}
