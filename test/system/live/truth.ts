/** What must hold for every record of a load (load.ts) on the echoing server (echo.ts), whatever was lost. */
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, vi } from 'vitest';
import type { AgentStatus } from '../../../src/model/status.ts';
import { type Agent, field, type LoggedExchange } from '../../rig/agent.ts';
import type { Server } from '../../rig/servers/server.ts';
import { idOf } from './load.ts';

export const statusOf = async (agent: Agent): Promise<AgentStatus> =>
  JSON.parse((await agent.get('/v1/status')).body) as AgentStatus;

/** Holes at the end of streams are declared, and closings that found no room looked up, within this time. */
const QUIET_MS = 2_500;
const LOOKS_MAX = 20;

/** The status once its ledger has come to rest after the last call: what was in the ring is read, what is missing is declared. */
export async function settled(agent: Agent): Promise<AgentStatus> {
  const counts = ({ ledger, connections }: AgentStatus): string => JSON.stringify([ledger, connections]);
  let last = await statusOf(agent);
  for (let i = 0; i < LOOKS_MAX; i++) {
    await sleep(QUIET_MS);
    const now = await statusOf(agent);
    if (counts(now) === counts(last)) return now;
    last = now;
  }
  throw new Error(`the ledger does not come to rest: ${counts(last)}`);
}

/** Waits, for as long as a busy machine may take, until `check` does not fail. */
export const eventually = <T>(check: () => T | Promise<T>): Promise<T> =>
  vi.waitFor(check, { timeout: 90_000, interval: 50 });

/** Waits until the server has answered so many calls more. */
export async function answered(server: Server, more: number): Promise<void> {
  const before = (await server.logged()).length;
  expect((await server.logged(before + more)).length).toBeGreaterThanOrEqual(before + more);
}

export const pidOf = (status: AgentStatus, role: 'attacher' | 'pipeline'): number =>
  status.processes.find((process) => process.role === role)!.pid;

export const idIn = (exchange: LoggedExchange): string =>
  field(exchange.request, 'x-request-id') ?? field(exchange.response, 'x-request-id') ?? '-';

/** Why a record is wrong; null when it is right, or says that something is missing. */
function fault(exchange: LoggedExchange): string | null {
  const { request, response, losses, outcome } = exchange;
  const asked = field(request, 'x-request-id');
  const answered = field(response, 'x-request-id');
  if (request !== null && request.target !== '' && asked !== undefined && idOf(request.target) !== asked)
    return `target ${request.target} of ${asked}`;
  if (losses.length > 0) return null;
  if (outcome !== 'complete') return `${outcome} without a loss`;
  if (request === null || response === null) return 'half of a call without a loss';
  if (asked !== answered) return `${asked} is paired with ${answered}`;
  const sent = request.method === 'POST' ? request.target.length : 0;
  const got = request.method === 'HEAD' ? 0 : request.target.length;
  if (request.body_bytes !== sent || response.body_bytes !== got)
    return `bodies of ${request.body_bytes} and ${response.body_bytes} bytes, not ${sent} and ${got}`;
  return null;
}

/** No record is wrong: whole and right, or marked. */
export function expectNeverWrong(exchanges: readonly LoggedExchange[]): void {
  const faults = exchanges.flatMap((exchange) => {
    const why = fault(exchange);
    return why === null ? [] : [`${exchange.side} ${exchange.id}: ${why}`];
  });
  expect(faults.slice(0, 10)).toEqual([]);
  for (const side of ['server', 'client']) {
    const ids = exchanges.filter((e) => e.side === side && e.request !== null).map(idIn);
    expect(new Set(ids).size).toBe(ids.length);
  }
}

/** R7 in the kernel: every segment and every byte that was seen is in exactly one class. */
export function expectConserved({ ledger }: AgentStatus): void {
  const { seen, copied, window, not_http, shed, lost } = ledger.captured;
  for (const unit of ['segments', 'bytes'] as const)
    expect(copied[unit] + window[unit] + not_http[unit] + shed[unit] + lost[unit]).toBe(seen[unit]);
}
