/** CSV (RFC 4180): a line of names, then a line for each call. */
import type { StoredRecord } from '../../store/call-record.ts';
import { FIELDS } from './columns.ts';
import type { CallsFormat } from './format.ts';

const CRLF = '\r\n';
/** Spreadsheets take what begins so for a formula, and calls come from strangers. */
const FORMULA = /^[=+\-@\t\r]/;

/** A value that a spreadsheet would compute is led by an apostrophe, which makes it text. */
function cell(text: string): string {
  const safe = FORMULA.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

function line(call: StoredRecord): string {
  const cells = [call.ts ?? ''];
  for (const field of FIELDS)
    if (field.kind === 'text') cells.push(cell(field.of(call)));
    else cells.push(String(field.of(call) ?? ''));
  return cells.join(',') + CRLF;
}

export class CsvCalls implements CallsFormat {
  begin(): string {
    return ['ts', ...FIELDS.map(({ name }) => name)].join(',') + CRLF;
  }

  calls(calls: readonly StoredRecord[]): string {
    return calls.map(line).join('');
  }

  end(): string {
    return '';
  }
}
