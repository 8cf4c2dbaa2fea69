import type { CallBatch, CallsFormat } from './format.ts';

/** Lines of the header log (docs/header-log.md), a WebSocket's behind that of its handshake, without a summary: what a range has lost is in the ledger of `report`. */
export class NdjsonCalls implements CallsFormat {
  begin(): string {
    return '';
  }

  calls({ calls, websockets }: CallBatch): string {
    return calls
      .flatMap((call) => [call, websockets.get(call.id) ?? []].flat())
      .map((record) => `${JSON.stringify(record)}\n`)
      .join('');
  }

  end(): string {
    return '';
  }
}
