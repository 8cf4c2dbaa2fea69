/** Handshake messages out of records (RFC 8446 5.1: messages may span records, and records hold several). */
import { Memory } from '../base/memory.ts';

export const HANDSHAKE = {
  HELLO_REQUEST: 0,
  CLIENT_HELLO: 1,
  SERVER_HELLO: 2,
  NEW_SESSION_TICKET: 4,
  END_OF_EARLY_DATA: 5,
  ENCRYPTED_EXTENSIONS: 8,
  CERTIFICATE: 11,
  CLIENT_KEY_EXCHANGE: 16,
  FINISHED: 20,
  KEY_UPDATE: 24,
  MESSAGE_HASH: 254,
} as const;

const HEADER = 4;
/** Bytes kept of a message that spans records. A certificate's end stands in its first bytes. */
const MESSAGE_BYTES_MAX = 16 << 10;
const FIRST_BYTES = 512;

export interface HandshakeSink {
  /** A message: `length` bytes of its body are at `memory[at]`, of `whole`; the header stands before them. */
  handshake(type: number, memory: Memory, at: number, length: number, whole: number, ts: number): void;
  /** The next bytes, from its header on, of a message too long to be kept, before what is kept of it is handed over. */
  piece(type: number, memory: Memory, at: number, bytes: number): void;
}

export class HandshakeReader {
  readonly #sink: HandshakeSink;
  /** The message that is not complete yet. */
  #kept: Memory | null = null;
  #length = 0;
  /** Bytes of it that are missing; -1: its header is not complete. */
  #missing = -1;
  /** It is longer than what is kept. */
  #tooLong = false;

  constructor(sink: HandshakeSink) {
    this.#sink = sink;
  }

  /** In the middle of a message. */
  get partial(): boolean {
    return this.#length > 0;
  }

  /** The rest of a message is lost. */
  reset(): void {
    this.#kept = null;
    this.#length = 0;
    this.#missing = -1;
    this.#tooLong = false;
  }

  /** A record's handshake bytes. */
  take(memory: Memory, offset: number, bytes: number, ts: number): void {
    let at = offset;
    const end = offset + bytes;
    while (at < end) {
      if (this.#length === 0 && end - at >= HEADER) {
        const length = memory.view.getUint32(at) & 0xff_ffff;
        if (end - at >= HEADER + length) {
          this.#sink.handshake(memory.view.getUint8(at), memory, at + HEADER, length, length, ts);
          at += HEADER + length;
          continue;
        }
      }
      at = this.#keep(memory, at, end, ts);
    }
  }

  #keep(memory: Memory, from: number, end: number, ts: number): number {
    let at = from;
    if (this.#missing < 0) {
      const room = Math.min(HEADER - this.#length, end - at);
      this.#append(memory, at, room);
      at += room;
      if (this.#length < HEADER) return at;
      this.#missing = this.#kept!.view.getUint32(0) & 0xff_ffff;
      this.#tooLong = HEADER + this.#missing > MESSAGE_BYTES_MAX;
      if (this.#tooLong) this.#sink.piece(this.#kept!.view.getUint8(0), this.#kept!, 0, HEADER);
    }
    const part = Math.min(this.#missing, end - at);
    this.#append(memory, at, part);
    if (this.#tooLong && part > 0) this.#sink.piece(this.#kept!.view.getUint8(0), memory, at, part);
    this.#missing -= part;
    if (this.#missing > 0) return at + part;
    const kept = this.#kept!;
    const length = this.#length - HEADER;
    this.reset();
    this.#sink.handshake(kept.view.getUint8(0), kept, HEADER, length, kept.view.getUint32(0) & 0xff_ffff, ts);
    return at + part;
  }

  #append(memory: Memory, at: number, bytes: number): void {
    const room = Math.min(bytes, MESSAGE_BYTES_MAX - this.#length);
    if (room <= 0) return;
    const need = this.#length + room;
    if (this.#kept === null || this.#kept.size < need) {
      const larger = Memory.alloc(Math.min(MESSAGE_BYTES_MAX, Math.max(FIRST_BYTES, 2 * need)));
      if (this.#kept !== null) this.#kept.buf.copy(larger.buf, 0, 0, this.#length);
      this.#kept = larger;
    }
    memory.buf.copy(this.#kept.buf, this.#length, at, at + room);
    this.#length += room;
  }
}
