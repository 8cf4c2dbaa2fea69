/** The header fields of a call to an LLM provider through a gateway: what repeats is shared, as the line predictor leaves it. */
import { Memory } from '../src/base/memory.ts';
import { FieldLine, HeaderName } from '../src/model/fields.ts';
import type { Message } from '../src/model/message.ts';

type Pairs = readonly (readonly [name: string, value: string])[];

export const REQUEST: Pairs = [
  ['Host', 'api.example.com'],
  ['User-Agent', 'OpenAI/JS 4.77.0'],
  ['Accept', 'application/json'],
  ['Accept-Encoding', 'gzip, deflate, br'],
  ['Content-Type', 'application/json'],
  ['Authorization', 'Bearer sk-proj-thisisafakekeyofabench0123456789'],
  ['X-Stainless-Lang', 'js'],
  ['X-Stainless-Package-Version', '4.77.0'],
  ['Connection', 'keep-alive'],
];
export const RESPONSE: Pairs = [
  ['Server', 'nginx/1.22.1'],
  ['Content-Type', 'application/json; charset=utf-8'],
  ['Connection', 'keep-alive'],
  ['Cache-Control', 'no-cache, must-revalidate'],
  ['Openai-Organization', 'org-example'],
  ['Openai-Version', '2020-10-01'],
  ['Strict-Transport-Security', 'max-age=31536000; includeSubDomains'],
  ['Vary', 'Accept-Encoding'],
];

let names = 0;
const header = (raw: string): HeaderName => new HeaderName(++names, raw.toLowerCase());
const shared = (pairs: Pairs): FieldLine[] => pairs.map(([raw, value]) => new FieldLine(header(raw), raw, value));
const own = (raws: readonly string[]): FieldLine[] => raws.map((raw) => new FieldLine(header(raw), raw, null));

/** Nine shared lines, and three whose values are each call's own. */
export const REQUEST_LINES: readonly FieldLine[] = [
  ...shared(REQUEST),
  ...own(['X-Request-Id', 'Traceparent', 'Content-Length']),
];

/** Eight shared lines and `more`, then lines whose values are each call's own. */
export const responseLines = (more: Pairs, ...varying: string[]): readonly FieldLine[] => [
  ...shared([...RESPONSE, ...more]),
  ...own(varying),
];

/** Gives a message its fields; `values` are those of the lines that are not shared, in order. */
export function fill(message: Message, lines: readonly FieldLine[], values: readonly string[]): void {
  message.fields.memory = Memory.from(Buffer.from(values.join(''), 'latin1'));
  let offset = 0;
  let v = 0;
  for (const line of lines) {
    const length = line.value === null ? values[v++]!.length : 0;
    message.fields.push(line, offset, length);
    offset += length;
  }
}
