/** Who can ask the agent: commands on its own socket, and clients of the network where the configuration says so. */
import type { Server } from 'node:http';
import type { Handover } from '../attacher/child.ts';
import { parseListen } from '../config/units.ts';
import type { KernelAnchor } from '../kernel/clock.ts';
import { type ApiOptions, apiServer } from '../serve/api.ts';
import { type ListenResult, listenFd, listenTcp } from '../serve/listen.ts';
import { publicServer } from '../serve/public.ts';
import { AgentMetrics } from './metrics.ts';
import type { PipelineSettings } from './settings.ts';
import type { Statistics } from './statistics.ts';
import type { StatusKeeper } from './status.ts';

export interface ListenerParts {
  readonly start: Pick<Handover['start'], 'socketFd' | 'socketPath'>;
  readonly settings: PipelineSettings;
  readonly anchor: KernelAnchor;
  readonly statistics: Statistics;
  readonly status: StatusKeeper;
  readonly api: ApiOptions;
}

/** Listens, and tells `status` where. A text: where it cannot, and what to do. */
export async function openListeners(parts: ListenerParts): Promise<readonly Server[] | string> {
  const { start, settings, anchor, statistics, status, api } = parts;
  const local = apiServer(api);
  const problem = problemOf(await listenFd(local, start.socketFd));
  if (problem !== null) return problem;
  status.listeners.push(start.socketPath);
  const listen = settings.config.listen;
  if (listen === undefined) return [local];
  const { host, port } = parseListen(listen)!;
  const metrics = new AgentMetrics(status, statistics, Number(anchor.wallNs / 1_000_000n));
  const server = publicServer(metrics, api.history, settings.token);
  const listening = await listenTcp(server, host, port);
  if (!listening.ok) return problemOf(listening)!;
  status.listeners.push(listening.address);
  return [local, server];
}

const problemOf = (result: ListenResult): string | null => (result.ok ? null : `${result.message}\n  ${result.hint}`);
