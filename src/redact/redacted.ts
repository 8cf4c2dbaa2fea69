/**
 * What may leave memory. A view stands in front of an exchange and redacts each part when somebody asks for it: what
 * nobody prints costs nothing, and a header line that connections repeat is redacted once.
 *
 * The views are made here alone, and only they carry the brand: `stats`, `export` and every log take
 * `Redacted<Exchange>`, so an exchange that was not redacted does not compile into them. A view is as short-lived as the
 * exchange behind it (see ExchangeSink): use it during the call.
 */
import type { Brand } from '../base/brand.ts';
import type { KeyedHash } from '../base/keyed-hash.ts';
import type { Connection } from '../model/connection.ts';
import type { Exchange, GrpcFacts, Outcome, Protocol } from '../model/exchange.ts';
import { type FieldBlock, type FieldLine, HeaderName } from '../model/fields.ts';
import type { LossMark } from '../model/loss.ts';
import type { Message, MessageEnd } from '../model/message.ts';
import type { StreamFacts } from '../model/units.ts';
import type { RedactionPolicy } from './policy.ts';

export type Redacted<T extends Exchange | Message | FieldBlock> = Brand<
  T extends Exchange ? ExchangeView : T extends Message ? MessageView : FieldsView,
  'redacted'
>;

/** Header fields or trailers in wire order, duplicates kept. */
class FieldsView {
  readonly #policy: RedactionPolicy;
  #block!: FieldBlock;

  constructor(policy: RedactionPolicy) {
    this.#policy = policy;
  }

  /** For redacted.ts alone. */
  bind(block: FieldBlock): Redacted<FieldBlock> {
    this.#block = block;
    return this as unknown as Redacted<FieldBlock>;
  }

  get count(): number {
    return this.#block.count;
  }

  /** Line i's name in the case that was sent. */
  raw(i: number): string {
    const line = this.#block.lines[i]!;
    return this.#policy.name(line.name, line.raw);
  }

  /** Line i's name in lower case. */
  lower(i: number): string {
    const name = this.#block.lines[i]!.name;
    return this.#policy.name(name, name.lower);
  }

  /** Line i's value, latin1 code points. */
  value(i: number): string {
    const line = this.#own(i);
    if (line.value === null) return this.#policy.value(line.name, this.#block.value(i));
    line.redacted ??= this.#policy.value(line.name, line.value);
    return line.redacted;
  }

  /**
   * Copies the value of line i, which is not shared, to `out[at]` when it needs neither redaction nor escaping in JSON;
   * returns where it ends, or -1: ask value(). `out` has room for `length(i)` bytes.
   */
  plain(i: number, out: Uint8Array, at: number): number {
    const block = this.#block;
    return this.#policy.plain(
      block.lines[i]!.name,
      block.memory.buf,
      block.valueOffset[i]!,
      block.valueLength[i]!,
      out,
      at,
    );
  }

  /** A credential in line i, which is not shared, as it is shown: bytes that may stand in a JSON string; null: ask value(). */
  credential(i: number): Uint8Array | null {
    const block = this.#block;
    return this.#policy.credential(block.lines[i]!.name, block.memory, block.valueOffset[i]!, block.valueLength[i]!);
  }

  /** Bytes on the wire of line i's value, which is not shared. */
  length(i: number): number {
    return this.#block.valueLength[i]!;
  }

  /** Keyed hash of line i's value as it was sent, in `hash.low` and `hash.high`: tells values apart without their text. */
  hash(i: number, hash: KeyedHash): void {
    const block = this.#block;
    const line = block.lines[i]!;
    if (line.value === null) {
      hash.bytes(block.memory.view, block.valueOffset[i]!, block.valueLength[i]!);
      return;
    }
    if (line.hashedBy !== hash.id) {
      hash.text(line.value);
      line.hashedBy = hash.id;
      line.hashLow = hash.low;
      line.hashHigh = hash.high;
      return;
    }
    hash.low = line.hashLow;
    hash.high = line.hashHigh;
  }

  /** Characters of line i's value as it was sent, shared or not. */
  size(i: number): number {
    const shared = this.#block.lines[i]!.value;
    return shared === null ? this.#block.valueLength[i]! : shared.length;
  }

  /** HeaderName.id of line i; OTHER_NAME_ID: compare lower(i). */
  nameId(i: number): number {
    return this.#block.lines[i]!.name.id;
  }

  /** Hash of the names' ids in their order, from `seed`. */
  nameSequence(seed: number): number {
    const { lines, count } = this.#block;
    let h = seed;
    for (let i = 0; i < count; i++) h = Math.imul(h ^ lines[i]!.name.id, 0x9e3779b1) ^ (h >>> 15);
    return h ^ (h >>> 13);
  }

  /** Whether the names' ids are these, in this order. */
  hasNames(ids: readonly number[]): boolean {
    const { lines, count } = this.#block;
    if (ids.length !== count) return false;
    for (let i = 0; i < count; i++) if (lines[i]!.name.id !== ids[i]) return false;
    return true;
  }

  /** Index of the first line named `lower` at or after `from`, or -1. */
  find(lower: string, from = 0): number {
    return this.#block.find(lower, from);
  }

  /** Value of the first line named `lower`, or null. */
  get(lower: string): string | null {
    const i = this.find(lower);
    return i < 0 ? null : this.value(i);
  }

  /** Which policy redacts: texts made under one are not for another. */
  get policy(): number {
    return this.#policy.id;
  }

  /** Stands for line i's name, and for its value when that is shared: equal serials are equal lines. */
  serial(i: number): number {
    return this.#block.lines[i]!.serial;
  }

  /** Whether line i's value is shared by all blocks that repeat it, so that work on it can be kept. */
  shared(i: number): boolean {
    return this.#block.lines[i]!.value !== null;
  }

  /** Line i, with its cache emptied when another policy filled it. */
  #own(i: number): FieldLine {
    const line = this.#block.lines[i]!;
    if (line.policy !== this.#policy.id) {
      line.policy = this.#policy.id;
      line.redacted = null;
    }
    return line;
  }
}

class MessageView {
  readonly #policy: RedactionPolicy;
  readonly #fields: FieldsView;
  readonly #trailers: FieldsView;
  #message!: Message;
  #target: string | null = null;

  constructor(policy: RedactionPolicy) {
    this.#policy = policy;
    this.#fields = new FieldsView(policy);
    this.#trailers = new FieldsView(policy);
  }

  /** For redacted.ts alone. */
  bind(message: Message): Redacted<Message> {
    this.#message = message;
    this.#target = null;
    return this as unknown as Redacted<Message>;
  }

  get version(): number {
    return this.#message.version;
  }
  get method(): string {
    return this.#policy.method(this.#message.method);
  }
  get target(): string {
    this.#target ??= this.#policy.target(this.#message.target);
    return this.#target;
  }
  /** HTTP/2: `:scheme` as sent, and `:authority` without user information; "" in HTTP/1. */
  get scheme(): string {
    const { scheme } = this.#message;
    return scheme === 'https' || scheme === 'http' || scheme === '' ? scheme : this.#policy.text(scheme);
  }
  get authority(): string {
    const { authority } = this.#message;
    return authority.slice(authority.lastIndexOf('@') + 1);
  }
  get status(): number {
    return this.#message.status;
  }
  get reason(): string {
    return this.#policy.text(this.#message.reason);
  }
  get streamId(): number {
    return this.#message.streamId;
  }
  get fields(): Redacted<FieldBlock> {
    return this.#fields.bind(this.#message.fields);
  }
  get trailers(): Redacted<FieldBlock> | null {
    const trailers = this.#message.trailers;
    return trailers === null ? null : this.#trailers.bind(trailers);
  }
  get headBytes(): number {
    return this.#message.headBytes;
  }
  get bodyBytes(): number {
    return this.#message.bodyBytes;
  }
  get firstByteAt(): number {
    return this.#message.firstByteAt;
  }
  get lastByteAt(): number {
    return this.#message.lastByteAt;
  }
  get end(): MessageEnd {
    return this.#message.end;
  }
}

export interface RedactedInterim {
  readonly status: number;
  /** Nanoseconds since the anchor, or UNSEEN. */
  readonly at: number;
  readonly fields: ReadonlyArray<readonly [name: string, value: string]>;
}

const NO_INTERIM: readonly RedactedInterim[] = [];
/** Endpoint templates remembered; there are few, and the route tree is bounded itself. */
const ROUTES_MAX = 4_096;

class ExchangeView {
  readonly #policy: RedactionPolicy;
  readonly #request: MessageView;
  readonly #response: MessageView;
  readonly #routes = new Map<string, string>();
  #exchange!: Exchange;

  constructor(policy: RedactionPolicy) {
    this.#policy = policy;
    this.#request = new MessageView(policy);
    this.#response = new MessageView(policy);
  }

  /** For redacted.ts alone. */
  bind(exchange: Exchange): Redacted<Exchange> {
    this.#exchange = exchange;
    if (exchange.request !== null) this.#request.bind(exchange.request);
    if (exchange.response !== null) this.#response.bind(exchange.response);
    return this as unknown as Redacted<Exchange>;
  }

  get connection(): Connection {
    return this.#exchange.connection;
  }
  get ordinal(): number {
    return this.#exchange.ordinal;
  }
  get protocol(): Protocol {
    return this.#exchange.protocol;
  }
  get upgrade(): string {
    const upgrade = this.#exchange.upgrade;
    return upgrade === '' ? upgrade : this.#policy.text(upgrade);
  }
  get request(): Redacted<Message> | null {
    return this.#exchange.request === null ? null : (this.#request as unknown as Redacted<Message>);
  }
  get response(): Redacted<Message> | null {
    return this.#exchange.response === null ? null : (this.#response as unknown as Redacted<Message>);
  }
  get interim(): readonly RedactedInterim[] {
    const interim = this.#exchange.interim;
    return interim.length === 0
      ? NO_INTERIM
      : interim.map(({ status, at, fields }) => ({ status, at, fields: fields.map((pair) => this.#pair(pair)) }));
  }
  get outcome(): Outcome {
    return this.#exchange.outcome;
  }
  get inFlight(): number {
    return this.#exchange.inFlight;
  }
  get anomalies(): number {
    return this.#exchange.anomalies;
  }
  get losses(): readonly Readonly<LossMark>[] {
    return this.#exchange.losses;
  }
  get grpc(): GrpcFacts | null {
    return this.#exchange.grpc;
  }
  /** What a response that is a stream of events was; null: it is none. */
  get stream(): StreamFacts | null {
    const { response } = this.#exchange;
    const units = response === null ? null : response.units;
    if (units === null || (units.kind !== 'sse' && units.kind !== 'ndjson')) return null;
    return units.facts(response!.end === 'framed' || response!.end === 'fin');
  }
  get route(): string {
    const route = this.#exchange.route;
    if (route === '') return route;
    let shown = this.#routes.get(route);
    if (shown === undefined) {
      if (this.#routes.size >= ROUTES_MAX) this.#routes.clear();
      shown = this.#policy.target(route);
      this.#routes.set(route, shown);
    }
    return shown;
  }

  #pair([raw, value]: readonly [string, string]): readonly [string, string] {
    const name = new HeaderName(0, raw.toLowerCase());
    return [this.#policy.name(name, raw), this.#policy.value(name, value)];
  }
}

/** Makes the one view of a pipeline; the result of a call is valid until the next one. */
export function redactor(policy: RedactionPolicy): (exchange: Exchange) => Redacted<Exchange> {
  const view = new ExchangeView(policy);
  return (exchange) => view.bind(exchange);
}
