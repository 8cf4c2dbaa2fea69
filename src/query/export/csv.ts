/** CSV (RFC 4180): a line of names, then a line for each call. */
import type { WebSocketRecord } from '../../model/record.ts';
import type { StoredRecord } from '../../store/call-record.ts';
import { FIELDS } from './columns.ts';
import type { CallBatch, CallsFormat } from './format.ts';

const CRLF = '\r\n';
/** Spreadsheets take what begins so for a formula, and calls come from strangers. */
const FORMULA = /^[=+\-@\t\r]/;

/** A value that a spreadsheet would compute is led by an apostrophe, which makes it text. */
function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function line(call: StoredRecord, websocket: WebSocketRecord | undefined): string {
  const cells = [call.ts ?? ''];
  for (const field of FIELDS)
    if (field.kind === 'text') cells.push(cell(field.of(call, websocket)));
    else cells.push(String(field.of(call) ?? ''));
  return cells.join(',') + CRLF;
}

export class CsvCalls implements CallsFormat {
  begin(): string {
    return ['ts', ...FIELDS.map(({ name }) => name)].join(',') + CRLF;
  }

  calls({ calls, websockets }: CallBatch): string {
    return calls.map((call) => line(call, websockets.get(call.id))).join('');
  }

  end(): string {
    return '';
  }
}
