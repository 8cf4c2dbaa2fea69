/** The agent's servers on sockets of a test's own, and somebody who asks them. */
import { mkdtempSync, rmSync } from 'node:fs';
import { type IncomingHttpHeaders, request, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { writeAgent } from '../../src/export/prometheus/agent.ts';
import { TextExposition } from '../../src/export/prometheus/text.ts';
import { LossLedger } from '../../src/model/loss.ts';
import type { ExchangeRecord } from '../../src/model/record.ts';
import type { StatusSource } from '../../src/model/status.ts';
import { RecordSubject } from '../../src/query/record-subject.ts';
import { apiServer } from '../../src/serve/api.ts';
import type { ClientResult } from '../../src/serve/client.ts';
import type { MetricsSource } from '../../src/serve/scrape.ts';
import { TailHub } from '../../src/serve/tail.ts';
import type { HistorySource } from '../../src/serve/v1.ts';
import { sampleRecord, sampleSource, type sampleStatus } from '../fixtures/samples.ts';

const CREATED_MS = 1_763_827_445_000;

/** No store, no statistics. */
export const noHistory: HistorySource = {
  report: async () => ({ ok: false, error: { type: 'unavailable', message: 'no statistics' } }),
  calls: async () => ({ ok: false, error: { type: 'unavailable', message: 'no store' } }),
  sql: async () => ({ ok: false, error: { type: 'unavailable', message: 'no store' } }),
};
export const metricsOf = (status: StatusSource): MetricsSource => ({ status, createdMs: CREATED_MS, *statistics() {} });

export function metricsText(status: ReturnType<typeof sampleStatus>): string {
  const out = new TextExposition(CREATED_MS);
  writeAgent(status, out);
  return [...out.finish()].join('');
}

/** A folder and what was started in it; leaving the scope closes all of it. */
export class ServeRig implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'headwater-serve-'));
  readonly #closing: Array<() => void> = [];

  /** `close` runs when the test is over. */
  later(close: () => void): void {
    this.#closing.push(close);
  }

  file(name: string): string {
    return join(this.folder, name);
  }

  async agent(
    options: { tail?: null } = {},
  ): Promise<{ path: string; hub: TailHub; losses: LossLedger; server: Server }> {
    const losses = new LossLedger();
    const hub = new TailHub(losses);
    const server = apiServer({
      status: sampleSource(),
      tail: options.tail === null ? null : hub,
      packets: null,
      why: async () => ({ sockets: 3 }),
      history: noHistory,
    });
    const path = this.file('agent.sock');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    this.later(() => {
      hub.close();
      server.close();
      server.closeAllConnections();
    });
    return { path, hub, losses, server };
  }

  [Symbol.dispose](): void {
    for (const close of this.#closing.splice(0)) close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  body: string;
}

export function ask(
  where: { socketPath: string } | { host: string; port: number },
  path: string,
  options: { method?: string; headers?: Record<string, string> } = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ ...where, path, agent: false, ...options }, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (text) => {
        body += text;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, body }));
    });
    outgoing.on('error', reject);
    outgoing.end();
  });
}

export const publish = (hub: TailHub, change: Partial<ExchangeRecord> = {}): void => {
  const record = sampleRecord(change);
  hub.publish(new RecordSubject(record), () => JSON.stringify(record));
};

export function value<T>(result: ClientResult<T>): T {
  if (!result.ok) throw new Error(`refused: ${JSON.stringify(result)}`);
  return result.value;
}

export async function take(lines: AsyncIterable<string>, n: number): Promise<Array<Record<string, unknown>>> {
  const taken: Array<Record<string, unknown>> = [];
  for await (const line of lines) {
    taken.push(JSON.parse(line));
    if (taken.length === n) break;
  }
  return taken;
}

/** The viewer's request is on its way: wait until the agent has it. */
export const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
};
