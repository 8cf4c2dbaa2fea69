/** Unredacted data does not compile into an exporter: `tsc` checks the lines marked @ts-expect-error. */
import { expect, expectTypeOf, test } from 'vitest';
import type { ExchangeExporter } from '../../src/export/exporter.ts';
import type { LogFormat } from '../../src/export/log/format.ts';
import type { Exchange } from '../../src/model/exchange.ts';
import type { FieldBlock } from '../../src/model/fields.ts';
import type { Message } from '../../src/model/message.ts';
import { type Redacted, redactor } from '../../src/redact/redacted.ts';
import { exchangeOf, ndjson, policy } from './log-rig.ts';

test('only redactor() makes what exporters take', () => {
  const taken: string[] = [];
  const exporter: ExchangeExporter = {
    exchange: (x) => taken.push(x.outcome),
    websocket: () => {},
    end: async () => true,
  };
  const format: LogFormat = ndjson();
  const raw = exchangeOf({});
  const redacted = redactor(policy())(raw);
  exporter.exchange(redacted);
  format.exchange(redacted);
  expect(taken).toEqual(['complete']);

  const mustNotCompile = (): void => {
    // @ts-expect-error an exchange as the pairer makes it
    exporter.exchange(raw);
    // @ts-expect-error the same for a format
    format.exchange(raw);
    // @ts-expect-error a copy of a redacted one has lost the brand
    exporter.exchange({ ...redacted });
    // @ts-expect-error neither message nor fields of a raw exchange
    exporter.exchange(raw.request);
  };
  expectTypeOf(mustNotCompile).toBeFunction();
  expectTypeOf<Exchange>().not.toExtend<Redacted<Exchange>>();
  expectTypeOf<Message>().not.toExtend<Redacted<Message>>();
  expectTypeOf<FieldBlock>().not.toExtend<Redacted<FieldBlock>>();
  expectTypeOf<Redacted<Exchange>>().not.toExtend<Exchange>();
  expectTypeOf<Redacted<Message>>().not.toExtend<Message>();
  expectTypeOf<Redacted<FieldBlock>>().not.toExtend<FieldBlock>();
});
