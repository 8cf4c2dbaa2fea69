/** Parquet of calls: a row group for some ten thousand calls, so that neither writing nor reading it takes the memory of the whole. */
import { packageVersion } from '../../base/version.ts';
import type { WebSocketRecord } from '../../model/record.ts';
import type { StoredRecord } from '../../store/call-record.ts';
import { INT64, NumberColumn, TextColumn } from '../../store/parquet/columns.ts';
import { ParquetWriter } from '../../store/parquet/file.ts';
import { FIELDS, type NumberField, type TextField } from './columns.ts';
import type { CallBatch, CallsFormat } from './format.ts';

const GROUP_CALLS = 32_768;
/** As far from a group's first time as a double tells nanoseconds apart: 104 days. */
const GROUP_NS = 2n ** 53n;

interface Numbers {
  readonly column: NumberColumn;
  readonly of: NumberField['of'];
}
interface Texts {
  readonly column: TextColumn;
  readonly of: TextField['of'];
}

export class ParquetCalls implements CallsFormat {
  readonly #ts = new NumberColumn('ts', INT64, true, 'timestamp_ns');
  readonly #numbers: Numbers[] = [];
  readonly #texts: Texts[] = [];
  readonly #writer: ParquetWriter;
  /** The group has a time already: `ts.base`. */
  #based = false;

  constructor() {
    const columns = FIELDS.map((field) => {
      if (field.kind === 'text') {
        const column = new TextColumn(field.name);
        this.#texts.push({ column, of: field.of });
        return column;
      }
      const column = new NumberColumn(field.name, INT64, true);
      this.#numbers.push({ column, of: field.of });
      return column;
    });
    this.#writer = new ParquetWriter([this.#ts, ...columns]);
  }

  begin(): Buffer {
    return this.#writer.begin();
  }

  calls({ calls, websockets }: CallBatch): Buffer {
    const pieces: Buffer[] = [];
    for (const call of calls) {
      const ns = call.ts === null ? null : nanoseconds(call.ts);
      if (this.#ts.rows >= GROUP_CALLS || (ns !== null && this.#based && distance(ns, this.#ts.base) > GROUP_NS))
        pieces.push(...this.#group());
      this.#take(call, websockets.get(call.id), ns);
    }
    return Buffer.concat(pieces);
  }

  end(): Buffer {
    return Buffer.concat([...this.#group(), ...this.#writer.end({ 'headwater.version': packageVersion() })]);
  }

  #take(call: StoredRecord, websocket: WebSocketRecord | undefined, ns: bigint | null): void {
    if (ns === null) this.#ts.pushNull();
    else {
      if (!this.#based) this.#ts.base = ns;
      this.#based = true;
      this.#ts.push(Number(ns - this.#ts.base));
    }
    for (const { column, of } of this.#numbers) {
      const value = of(call);
      if (value === null) column.pushNull();
      else column.push(value);
    }
    for (const { column, of } of this.#texts) {
      const bytes = Buffer.from(of(call, websocket), 'utf8');
      column.push(bytes, 0, bytes.length);
    }
  }

  #group(): Buffer[] {
    const pieces = [...this.#writer.group()];
    for (const { column } of [{ column: this.#ts }, ...this.#numbers, ...this.#texts]) column.clear();
    this.#based = false;
    return pieces;
  }
}

const distance = (a: bigint, b: bigint): bigint => (a > b ? a - b : b - a);

/** Unix time of RFC 3339 text with nine decimals and Z. */
const nanoseconds = (text: string): bigint =>
  BigInt(Date.parse(`${text.slice(0, 19)}Z`)) * 1_000_000n + BigInt(text.slice(20, 29));
