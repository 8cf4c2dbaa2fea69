import type { StoredRecord } from '../../store/call-record.ts';
import type { CallsFormat } from './format.ts';

/** Lines of the header log (docs/header-log.md), without a summary: what a range has lost is in the ledger of `report`. */
export class NdjsonCalls implements CallsFormat {
  begin(): string {
    return '';
  }

  calls(calls: readonly StoredRecord[]): string {
    return calls.map((call) => `${JSON.stringify(call)}\n`).join('');
  }

  end(): string {
    return '';
  }
}
