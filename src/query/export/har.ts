import { packageVersion } from '../../base/version.ts';
import { harEntry } from '../../export/log/har-entry.ts';
import { HarFile } from '../../export/log/har-file.ts';
import type { CallBatch, CallsFormat } from './format.ts';

/** HAR 1.2 of stored calls. */
export class HarCalls implements CallsFormat {
  readonly #file = new HarFile(packageVersion());

  begin(): string {
    return this.#file.begin();
  }

  calls({ calls, websockets }: CallBatch): string {
    return calls.map((call) => this.#file.entry(harEntry(call, websockets.get(call.id) ?? null))).join('');
  }

  end(): string {
    return this.#file.end();
  }
}
