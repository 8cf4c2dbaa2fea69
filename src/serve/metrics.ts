/** The agent's own numbers as OpenMetrics text 1.0. */
import { LOSS_REASONS } from '../model/loss.ts';
import type { AgentStatus, CaptureLedger } from '../model/status.ts';

export const OPENMETRICS_TYPE = 'application/openmetrics-text; version=1.0.0; charset=utf-8';

type Sample = readonly [labels: Readonly<Record<string, string>>, value: number];

const escapeLabel = (value: string): string =>
  value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');

class Exposition {
  text = '';

  family(name: string, type: 'counter' | 'gauge' | 'info', help: string, samples: readonly Sample[], unit = ''): void {
    this.text += `# TYPE ${name} ${type}\n`;
    if (unit !== '') this.text += `# UNIT ${name} ${unit}\n`;
    this.text += `# HELP ${name} ${help}\n`;
    const suffix = { counter: '_total', gauge: '', info: '_info' }[type];
    for (const [labels, value] of samples) {
      const pairs = Object.entries(labels).map(([key, text]) => `${key}="${escapeLabel(text)}"`);
      this.text += `${name}${suffix}${pairs.length === 0 ? '' : `{${pairs.join(',')}}`} ${value}\n`;
    }
  }
}

/** Everything in `status` that a time series is made of. Ends with "# EOF". */
export function metricsText(status: AgentStatus): string {
  const { ledger, ring, connections } = status;
  const out = new Exposition();
  out.family('headwater_build', 'info', 'Version of the agent.', [[{ version: status.version }, 1]]);
  out.family('headwater_exchanges', 'counter', 'Calls emitted; each observed side of a connection counts its own.', [
    [{}, ledger.exchanges],
  ]);
  out.family('headwater_messages', 'counter', 'Requests and responses, read or known to be lost.', [
    [{ kind: 'request', state: 'seen' }, ledger.requests.seen],
    [{ kind: 'request', state: 'lost' }, ledger.requests.lost],
    [{ kind: 'response', state: 'seen' }, ledger.responses.seen],
    [{ kind: 'response', state: 'lost' }, ledger.responses.lost],
  ]);
  const lost = new Map(ledger.losses.map((loss) => [loss.reason, loss]));
  out.family(
    'headwater_losses',
    'counter',
    'What could not be shown, by reason (docs/loss.md).',
    LOSS_REASONS.map((reason) => [{ reason }, lost.get(reason)?.count ?? 0]),
  );
  out.family(
    'headwater_loss_bytes',
    'counter',
    'Bytes that could not be shown, by reason.',
    LOSS_REASONS.map((reason) => [{ reason }, lost.get(reason)?.bytes ?? 0]),
    'bytes',
  );
  const classes = Object.entries(ledger.captured) as Array<[keyof CaptureLedger, CaptureLedger[keyof CaptureLedger]]>;
  out.family(
    'headwater_segments',
    'counter',
    'TCP segments with payload; seen is the sum of the other classes.',
    classes.map(([name, traffic]) => [{ class: name }, traffic.segments]),
  );
  out.family(
    'headwater_captured_bytes',
    'counter',
    'TCP payload; seen is the sum of the other classes.',
    classes.map(([name, traffic]) => [{ class: name }, traffic.bytes]),
    'bytes',
  );
  out.family('headwater_connections', 'counter', 'TCP connections met.', [[{}, connections.total]]);
  out.family(
    'headwater_open_connections',
    'gauge',
    'TCP connections followed now.',
    Object.entries(connections.by_guess).map(([guess, n]) => [{ guess }, n]),
  );
  out.family(
    'headwater_ring_bytes',
    'gauge',
    'Ring buffer between the kernel and the pipeline.',
    [
      [{ state: 'size' }, ring.size_bytes],
      [{ state: 'used' }, ring.used_bytes],
      [{ state: 'peak' }, ring.peak_bytes],
    ],
    'bytes',
  );
  out.family(
    'headwater_agent_cpu_seconds',
    'counter',
    'CPU time of the agent, user and system.',
    status.processes.map((p) => [{ process: p.role }, p.cpu_s]),
    'seconds',
  );
  out.family(
    'headwater_agent_resident_bytes',
    'gauge',
    'Resident memory of the agent.',
    status.processes.map((p) => [{ process: p.role }, p.rss_bytes]),
    'bytes',
  );
  out.family('headwater_tail_viewers', 'gauge', 'Viewers connected.', [[{}, status.tail.viewers]]);
  return `${out.text}# EOF\n`;
}
