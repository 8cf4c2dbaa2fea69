/** The pipeline's end of the control channel: asks the attacher for what needs a capability. */
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { receiveDescriptors } from '../kernel/posix.ts';
import type { ProcessInfo } from '../model/connection.ts';
import type { ProgramStatus, TapsStatus } from '../model/status.ts';
import type { TlsProcess } from '../model/why.ts';
import type { ProcessFacts } from './processes.ts';
import {
  BATCH_MAX,
  type FromAttacher,
  LineReader,
  type ListenerOwner,
  MESSAGE_LENGTH_MAX,
  type Operation,
  type SocketTuple,
  type StartMessage,
  tupleToWire,
} from './protocol.ts';

/** Answers waited for at a time; more are refused here. */
const WAITING_MAX = 64;

export type Asked<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly why: string };

export interface RotatedLog {
  /** The new log file, for appending. */
  readonly log: number;
  /** The closed file (reading) and its empty archive (writing), to compress one into the other; then call `archived`. */
  readonly archive: { readonly source: number; readonly target: number } | null;
}

export interface AttacherUsage {
  readonly pid: number;
  /** User and system, seconds. */
  readonly cpu_s: number;
  readonly rss_bytes: number;
}

interface Waiting {
  resolve(answer: Asked<{ result: unknown; descriptors: number[] }>): void;
}

/** What the agent does when the attacher speaks unasked. */
export interface AttacherEvents {
  /** SIGHUP: write to this descriptor from now on, close the old one. */
  reopened(log: number): void;
  /** Write what was captured, then end. */
  drain(reason: string): void;
  /** The attacher is gone: nothing is captured any more. Write what is left, then end. */
  end(): void;
}

/** Descriptor numbers fixed by the attacher's spawn. */
export const CONTROL_FD = 3;
export const DESCRIPTOR_FD = 4;

export class AttacherClient {
  readonly #socket: Socket;
  readonly #descriptorSocket: number;
  readonly #lines = new LineReader(MESSAGE_LENGTH_MAX);
  readonly #waiting = new Map<number, Waiting>();
  readonly #start: Promise<StartMessage | null>;
  #started: ((start: StartMessage | null) => void) | null = null;
  #events: AttacherEvents | null = null;
  /** What happened before anybody listened. */
  #early: ((events: AttacherEvents) => void)[] = [];
  #nextId = 1;
  #ended = false;

  /** @param controlFd stream socket, @param descriptorFd socket for descriptors; both inherited. */
  constructor(controlFd: number, descriptorFd: number) {
    this.#descriptorSocket = descriptorFd;
    this.#start = new Promise((resolve) => {
      this.#started = resolve;
    });
    this.#socket = new Socket({ fd: controlFd, readable: true, writable: true });
    this.#socket.on('data', (chunk: Buffer) => {
      if (!this.#lines.push(chunk, (line) => this.#message(JSON.parse(line) as FromAttacher))) this.#end();
    });
    this.#socket.on('error', () => this.#end());
    this.#socket.on('end', () => this.#end());
    this.#socket.on('close', () => this.#end());
  }

  /** Says that the cage is closed; answers what to work with, or null when the attacher is gone. */
  confined(): Promise<StartMessage | null> {
    this.#socket.write('{"type":"confined"}\n');
    return this.#start;
  }

  /** Says that the cage could not be closed. */
  failed(why: string): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.write(`${JSON.stringify({ type: 'failed', why })}\n`, () => resolve());
    });
  }

  /** Events from now on, and those that came before. */
  listen(events: AttacherEvents): void {
    this.#events = events;
    for (const event of this.#early.splice(0)) event(events);
  }

  async rotate(): Promise<Asked<RotatedLog>> {
    const answer = await this.#ask({ op: 'rotate' });
    if (!answer.ok) return answer;
    const [log, source, target] = answer.value.descriptors;
    if (log === undefined) return { ok: false, why: 'no descriptor came' };
    return {
      ok: true,
      value: { log, archive: source === undefined || target === undefined ? null : { source, target } },
    };
  }

  /** The archive of the last rotation is complete (`ok`), or was given up. */
  async archived(ok: boolean): Promise<void> {
    await this.#ask({ op: 'archived', ok });
  }

  /** Opens the log's path again: the new descriptor. */
  async reopen(): Promise<Asked<number>> {
    const answer = await this.#ask({ op: 'reopen' });
    if (!answer.ok) return answer;
    const log = answer.value.descriptors[0];
    return log === undefined ? { ok: false, why: 'no descriptor came' } : { ok: true, value: log };
  }

  /** Owners of up to BATCH_MAX connections, in their order; null where /proc does not tell. */
  async owners(tuples: readonly SocketTuple[]): Promise<Asked<(ProcessInfo | null)[]>> {
    const answer = await this.#ask({ op: 'owners', tuples: tuples.slice(0, BATCH_MAX) });
    return answer.ok ? { ok: true, value: answer.value.result as (ProcessInfo | null)[] } : answer;
  }

  /** Who listens in the observed cgroups. */
  async listeners(): Promise<Asked<readonly ListenerOwner[]>> {
    const answer = await this.#ask({ op: 'listeners' });
    return answer.ok ? { ok: true, value: answer.value.result as ListenerOwner[] } : answer;
  }

  /** Facts of up to BATCH_MAX processes that /proc hides from this process; null: gone. */
  async processes(pids: readonly number[]): Promise<Asked<(ProcessFacts | null)[]>> {
    const answer = await this.#ask({ op: 'processes', pids: pids.slice(0, BATCH_MAX) });
    return answer.ok ? { ok: true, value: answer.value.result as (ProcessFacts | null)[] } : answer;
  }

  /** TLS implementations of up to BATCH_MAX processes, in their order; empty for those outside the observed cgroups. */
  async tls(pids: readonly number[]): Promise<Asked<readonly (readonly TlsProcess[])[]>> {
    const answer = await this.#ask({ op: 'tls', pids: pids.slice(0, BATCH_MAX) });
    return answer.ok ? { ok: true, value: answer.value.result as TlsProcess[][] } : answer;
  }

  /** What is tapped; null: nothing, TLS is not tapped at all. */
  async taps(): Promise<Asked<TapsStatus | null>> {
    const answer = await this.#ask({ op: 'taps' });
    return answer.ok ? { ok: true, value: answer.value.result as TapsStatus | null } : answer;
  }

  /** The kernel programs' run counts and times, measured for a moment. */
  async programStats(): Promise<Asked<readonly ProgramStatus[]>> {
    const answer = await this.#ask({ op: 'programs' });
    return answer.ok ? { ok: true, value: answer.value.result as ProgramStatus[] } : answer;
  }

  async usage(): Promise<Asked<AttacherUsage>> {
    const answer = await this.#ask({ op: 'usage' });
    return answer.ok ? { ok: true, value: answer.value.result as AttacherUsage } : answer;
  }

  /** Makes a drain event without the attacher: a signal reached this process. */
  drain(reason: string): void {
    this.#event((events) => events.drain(reason));
  }

  close(): void {
    this.#socket.destroy();
  }

  #ask(operation: Operation): Promise<Asked<{ result: unknown; descriptors: number[] }>> {
    if (this.#ended) return Promise.resolve({ ok: false, why: 'the attacher is gone' });
    if (this.#waiting.size >= WAITING_MAX) return Promise.resolve({ ok: false, why: 'too many questions wait' });
    const id = this.#nextId++;
    const body = operation.op === 'owners' ? { ...operation, tuples: operation.tuples.map(tupleToWire) } : operation;
    this.#socket.write(`${JSON.stringify({ type: 'request', id, ...body })}\n`);
    return new Promise((resolve) => {
      this.#waiting.set(id, { resolve });
    });
  }

  #message(message: FromAttacher): void {
    switch (message.type) {
      case 'start':
        this.#started?.(message.start);
        break;
      case 'answer':
        this.#take(message.id)?.resolve({
          ok: true,
          value: { result: message.result, descriptors: this.#descriptors(message.descriptors) },
        });
        break;
      case 'refused':
        this.#take(message.id)?.resolve({ ok: false, why: message.why });
        break;
      case 'reopened': {
        const [log] = this.#descriptors(message.descriptors);
        if (log !== undefined) this.#event((events) => events.reopened(log));
        break;
      }
      case 'drain':
        this.drain(message.reason);
        break;
    }
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    return waiting;
  }

  /** They were sent before the message that announces them, so they are there. */
  #descriptors(count: number): number[] {
    if (count === 0) return [];
    const received = receiveDescriptors(this.#descriptorSocket);
    if (typeof received === 'number') return [];
    if (received.length === count) return received;
    for (const fd of received) closeSync(fd);
    return [];
  }

  #event(event: (events: AttacherEvents) => void): void {
    if (this.#events === null) this.#early.push(event);
    else event(this.#events);
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#started?.(null);
    for (const { resolve } of this.#waiting.values()) resolve({ ok: false, why: 'the attacher is gone' });
    this.#waiting.clear();
    this.#event((events) => events.end());
  }
}
