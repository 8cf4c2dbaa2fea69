/** What must hold for every record of a load (load.ts) on the echoing server (echo.ts), whatever was lost. */
import { expect } from 'vitest';
import type { AgentStatus } from '../../../src/model/status.ts';
import { type Agent, field, type LoggedExchange } from '../../rig/agent.ts';
import { idOf } from './load.ts';

export const statusOf = async (agent: Agent): Promise<AgentStatus> =>
  JSON.parse((await agent.get('/v1/status')).body) as AgentStatus;

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
