import type { SubjectMessage } from './subject.ts';

/**
 * The header fields of a message as a CEL map: lower-case names; the values of a repeated field are joined by ", "
 * (RFC 9110 5.3). Asked for one name, it looks at that field alone: most filters do, and every value that is looked at
 * must be redacted first. Asked for anything else, it becomes an ordinary map.
 */
export class HeaderMap extends Map<string, string> {
  readonly #message: SubjectMessage;
  #filled = false;

  constructor(message: SubjectMessage) {
    super();
    this.#message = message;
  }

  override get(name: string): string | undefined {
    if (this.#filled) return super.get(name);
    const message = this.#message;
    let joined: string | undefined;
    for (let i = 0; i < message.headerCount; i++) {
      if (message.headerName(i) !== name) continue;
      joined = joined === undefined ? message.headerValue(i) : `${joined}, ${message.headerValue(i)}`;
    }
    return joined;
  }

  override has(name: string): boolean {
    return this.get(name) !== undefined;
  }
  override get size(): number {
    this.#fill();
    return super.size;
  }
  override keys() {
    this.#fill();
    return super.keys();
  }
  override values() {
    this.#fill();
    return super.values();
  }
  override entries() {
    this.#fill();
    return super.entries();
  }
  override [Symbol.iterator]() {
    return this.entries();
  }
  override forEach(visit: (value: string, key: string, map: Map<string, string>) => void): void {
    this.#fill();
    super.forEach(visit);
  }

  #fill(): void {
    if (this.#filled) return;
    this.#filled = true;
    const message = this.#message;
    for (let i = 0; i < message.headerCount; i++) {
      const name = message.headerName(i);
      const before = super.get(name);
      this.set(name, before === undefined ? message.headerValue(i) : `${before}, ${message.headerValue(i)}`);
    }
  }
}

// The CEL engine tells types by their constructor.
Object.defineProperty(HeaderMap.prototype, 'constructor', { value: Map });
