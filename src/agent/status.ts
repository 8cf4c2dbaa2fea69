/** What the agent says of itself: the ledger in the kernel's and the pipeline's own numbers, rates, cost, and who is connected. */
import type { AttacherClient } from '../attacher/client.ts';
import type { HostFiles } from '../attacher/host.ts';
import type { StartMessage } from '../attacher/protocol.ts';
import { TimeFormatter } from '../base/clock.ts';
import type { RunTotals } from '../export/exporter.ts';
import type { Stalls } from '../http/h2/windows.ts';
import type { KernelAnchor } from '../kernel/clock.ts';
import type { Counters, KernelCounters } from '../kernel/counters.ts';
import type { Ring } from '../kernel/ring.ts';
import type { SecretReader } from '../kernel/secret-reader.ts';
import { LOSS_REASONS, type LossReason, type LossTotal } from '../model/loss.ts';
import type { MessageKind } from '../model/message.ts';
import type {
  AgentStatus,
  CgroupStatus,
  ConnectionStatus,
  MapStatus,
  ProcessStatus,
  StatusLedger,
  StatusRates,
  StatusSource,
  TailStatus,
  TapsStatus,
  TlsStatus,
  Traffic,
} from '../model/status.ts';
import { TLS_UNREAD_CAUSES } from '../model/tls.ts';
import { WHY_PIDS_MAX, type WhyState } from '../model/why.ts';
import type { TailHub } from '../serve/tail.ts';
import type { Pipeline } from './pipeline.ts';
import type { SecretFeed } from './secret-feed.ts';
import type { SelfProbe } from './self-probe.ts';
import type { KernelDescription } from './settings.ts';
import type { WallClock } from './wall-clock.ts';
import { whyGroups } from './why.ts';

export interface StatusParts {
  readonly version: string;
  readonly pipeline: Pipeline;
  readonly kernel: KernelDescription;
  readonly ring: Ring;
  readonly counters: Counters;
  readonly client: AttacherClient;
  /** null: no secrets are taken. */
  readonly secrets: { readonly reader: SecretReader; readonly feed: SecretFeed } | null;
  readonly tail: TailHub | null;
  readonly host: HostFiles;
  readonly probe: Pick<SelfProbe, 'problem'>;
  readonly wallClock: Pick<WallClock, 'problem'>;
  readonly start: Omit<StartMessage, 'key'>;
  /** Rates are averages over this long, nanoseconds. */
  readonly windowNs: number;
  readonly anchor: KernelAnchor;
}

/** Totals at one moment, for rates. */
interface Mark {
  readonly at: number;
  readonly exchanges: number;
  readonly segments: number;
  readonly bytes: number;
  readonly losses: number;
}

const NO_TAIL: TailStatus = { viewers: 0, sent: 0, lost: 0 };
/** Marks kept for the rates: one a second, thinned out when the window is long. */
const MARKS_MAX = 600;

export class StatusKeeper implements StatusSource {
  readonly listeners: string[] = [];
  readonly #parts: StatusParts;
  readonly #startedAt = performance.now();
  readonly #started: string;
  readonly #marks: Mark[] = [];
  #ready = false;
  #cgroups: readonly CgroupStatus[] = [];
  #peak = 0;
  /** Counters as they were when capture ended. */
  #final: KernelCounters | null = null;

  constructor(parts: StatusParts) {
    this.#parts = parts;
    this.#started = new TimeFormatter(parts.anchor).format(0);
    this.#lookAtCgroups();
  }

  started(): void {
    this.#ready = true;
    this.#marks.push(this.#mark());
  }

  /** Once a second. */
  tick(): void {
    this.#look();
    this.#lookAtCgroups();
    this.#marks.push(this.#mark());
    const oldest = performance.now() - this.#parts.windowNs / 1e6;
    while (this.#marks.length > 2 && (this.#marks[1]!.at < oldest || this.#marks.length > MARKS_MAX))
      this.#marks.shift();
  }

  finish(): void {
    this.#ready = false;
    this.#final = this.#parts.counters.read();
  }

  ready(): boolean {
    return this.#ready && this.#parts.probe.problem === '' && this.#cgroups.some(({ attached }) => attached);
  }

  async status(ask: { readonly programs: boolean }): Promise<AgentStatus> {
    const { pipeline, ring, client, tail, version } = this.#parts;
    this.#look();
    const [programs, processes, taps] = await Promise.all([
      ask.programs ? client.programStats() : null,
      this.#processes(),
      client.taps(),
    ]);
    const { open } = pipeline.decoding;
    const counters = this.#counters();
    return {
      version,
      started: this.#started,
      uptime_s: (performance.now() - this.#startedAt) / 1000,
      ready: this.ready(),
      problems: this.#problems(),
      ledger: this.#ledger(),
      rates: this.#rates(),
      processes,
      programs: programs?.ok === true ? programs.value : [],
      maps: this.#maps(),
      ring: { size_bytes: ring.size, used_bytes: Math.max(0, ring.used), peak_bytes: this.#peak },
      cgroups: this.#cgroups,
      connections: {
        open: pipeline.tracker.active,
        total: this.#connections(counters),
        by_guess: { ...open },
        calls_unknown: pipeline.tracker.counters.callsUnknown,
        window_stalls: windowStalls(pipeline),
      },
      udp: counters.udp,
      tls: this.#tls(taps.ok ? taps.value : null),
      tail: tail?.status() ?? NO_TAIL,
      listeners: this.listeners,
    };
  }

  /** `asked`: pids whose TLS implementations are wanted, at most WHY_PIDS_MAX of them are looked at. */
  async why(asked: readonly number[]): Promise<WhyState> {
    const { pipeline, start, client, kernel } = this.#parts;
    const pids = asked.slice(0, WHY_PIDS_MAX);
    const found = pids.length === 0 ? null : await client.tls(pids);
    const implementations = found?.ok === true ? found.value : [];
    const { groups, more } = whyGroups(pipeline.decoding.live, pipeline.closed);
    return {
      started: this.#started,
      ready: this.ready(),
      mount: start.mount,
      cgroups: this.#cgroups,
      groups,
      taps_absent: kernel.tapsAbsent,
      tls: pids.flatMap((pid, i) => {
        const own = implementations[i] ?? [];
        return own.length === 0 ? [] : [{ pid, implementations: own }];
      }),
      more_groups: more,
    };
  }

  /** A cgroup that was made again under the same path is another one: its id is its folder's inode. */
  #lookAtCgroups(): void {
    const { start, host } = this.#parts;
    this.#cgroups = start.cgroups.map(({ path, id }) => ({
      path,
      attached: host.inode(`${start.mount}${path}`) === id,
    }));
  }

  #problems(): string[] {
    const { probe, wallClock } = this.#parts;
    const removed = this.#cgroups.flatMap(({ path, attached }) =>
      attached
        ? []
        : [
            `cgroup ${path} was removed: nothing of it is observed any more, also if it was made again. Start the agent anew`,
          ],
    );
    return [probe.problem, wallClock.problem, ...removed].filter((problem) => problem !== '');
  }

  /** For the log's last line. `segments` and `bytes` are what the kernel saw, whatever became of it. */
  totals(): RunTotals {
    const counters = this.#counters();
    return {
      segments: counters.ledger.seen.segments,
      bytes: counters.ledger.seen.bytes,
      connections: this.#connections(counters),
      exchanges: this.#parts.pipeline.counters.exchanges,
      losses: this.#losses(counters),
    };
  }

  /** The ledger as the last words of a run. */
  ledgerText(reason: string): string {
    const { exchanges, requests, responses, captured, copied_not_http: none, losses } = this.#ledger();
    const notHttp = none.tls + none.switched + none.other + none.undecided;
    const unknown = this.#parts.pipeline.tracker.counters.callsUnknown;
    const lines = [
      `headwater: ended (${reason}) after ${((performance.now() - this.#startedAt) / 1000).toFixed(1)} s`,
      `captured ${exchanges} exchanges; requests ${requests.seen} seen, ${requests.lost} lost; responses ${responses.seen} seen, ${responses.lost} lost${unknown === 0 ? '' : `; ${unknown} connections may have had more calls`}`,
      `segments ${captured.seen.segments} (${captured.seen.bytes} B): copied ${captured.copied.bytes} B${notHttp === 0 ? '' : ` (${notHttp} B of it not HTTP)`}, beyond the window ${captured.window.bytes} B, not HTTP ${captured.not_http.bytes} B, shed ${captured.shed.bytes} B, ring full ${captured.lost.bytes} B`,
      losses.length === 0
        ? 'nothing was lost'
        : `lost, because: ${losses.map(({ reason: why, count, bytes }) => `${why} ${count} (${bytes} B)`).join(', ')}`,
    ];
    return lines.join('\n  ');
  }

  /** Nobody knows of a connection none of whose records found room but the kernel; of one that never got a socket, only the pipeline. */
  #connections({ connections }: KernelCounters): number {
    return Math.max(connections, this.#parts.pipeline.tracker.counters.connections);
  }

  #counters(): KernelCounters {
    return this.#final ?? this.#parts.counters.read();
  }

  #look(): void {
    this.#peak = Math.max(this.#peak, this.#parts.ring.used);
  }

  #ledger(): StatusLedger {
    const { pipeline } = this.#parts;
    const { passed } = pipeline.decoding.h1;
    const passedInH2 = pipeline.decoding.h2.requestsPassed + pipeline.tracker.counters.callsUnread;
    const { ackedUnseen, cut } = pipeline.tracker.reassembly;
    const c = this.#counters();
    const lost = (kind: MessageKind): number => passed[kind] + this.#inTls(c, kind).calls;
    return {
      exchanges: pipeline.counters.exchanges,
      requests: { seen: pipeline.counters.requests, lost: c.requests.lost + lost('request') + passedInH2 },
      responses: { seen: pipeline.counters.responses, lost: c.responses.lost + lost('response') },
      captured: c.ledger,
      copied_not_http: { ...pipeline.decoding.notHttp },
      unseen_bytes_estimate: ackedUnseen + cut,
      losses: this.#losses(c),
    };
  }

  /** Turns in TLS that the kernel left out or lost: of what is known to be no HTTP/1, and all the others. */
  #inTls(c: KernelCounters, kind: MessageKind): { calls: number; others: number } {
    const { http2, unread } = this.#parts.pipeline.tls.counters.turns;
    const others = http2[kind] + unread[kind];
    return { calls: Math.max(0, c.tls.turns[kind] - others), others };
  }

  #tls(tapped: TapsStatus | null): TlsStatus {
    const { pipeline, kernel, secrets } = this.#parts;
    const { counters, store } = pipeline.tls;
    const taps = secrets?.reader.counters();
    const c = this.#counters();
    const { calls, others } = this.#inTls(c, 'request');
    return {
      taps_absent: kernel.tapsAbsent,
      taps: tapped,
      connections: counters.connections,
      decrypted: counters.decrypted,
      resumed: counters.resumed,
      missed: { records: c.tls.records, calls, other_turns: others },
      suites: pipeline.tlsTally.rows(pipeline.decoding.live),
      unread: TLS_UNREAD_CAUSES.flatMap((cause) => {
        const { connections, bytes } = counters.unread[cause];
        return connections === 0 && bytes === 0 ? [] : [{ cause, connections, bytes }];
      }),
      alerts: [...counters.alerts.values()].map((one) => ({ ...one })).sort((a, b) => b.connections - a.connections),
      secrets: {
        kept: store.size,
        taken: store.counters.added,
        ring_full: taps?.ring_full ?? 0,
        unreadable: taps?.unreadable ?? 0,
        unusable: store.counters.malformed + (secrets?.feed.unusable ?? 0) + (secrets?.reader.malformed ?? 0),
        unused: store.counters.unused,
      },
      tap_calls: taps?.entered ?? 0,
    };
  }

  /** What the pipeline gave up, and what the kernel never handed over: each thing is counted in one of the two places. */
  #losses(c: KernelCounters): LossTotal[] {
    const kernel: Partial<Record<LossReason, Traffic>> = {
      ring_full: c.classes.ring_full,
      shed_body: c.classes.shed_body,
      shed_head: c.classes.shed_head,
      ip_fragment: c.classes.fragment,
      joined_midstream: c.classes.unknown,
      quic_unread: { segments: c.udp.quic.datagrams, bytes: c.udp.quic.bytes },
    };
    const own = new Map(this.#parts.pipeline.losses.totals().map((total) => [total.reason, total]));
    return LOSS_REASONS.flatMap((reason) => {
      const here = own.get(reason) ?? { count: 0, bytes: 0 };
      const there = kernel[reason] ?? { segments: 0, bytes: 0 };
      const total = { reason, count: here.count + there.segments, bytes: here.bytes + there.bytes };
      return total.count === 0 && total.bytes === 0 ? [] : [total];
    });
  }

  #mark(): Mark {
    const c = this.#counters();
    return {
      at: performance.now(),
      exchanges: this.#parts.pipeline.counters.exchanges,
      segments: c.ledger.seen.segments,
      bytes: c.ledger.seen.bytes,
      losses: this.#losses(c).reduce((n, { count }) => n + count, 0),
    };
  }

  #rates(): StatusRates {
    const first = this.#marks[0];
    const now = this.#mark();
    const seconds = first === undefined ? 0 : (now.at - first.at) / 1000;
    const rate = (key: 'exchanges' | 'segments' | 'bytes' | 'losses'): number =>
      first === undefined || seconds <= 0 ? 0 : (now[key] - first[key]) / seconds;
    return {
      window_s: seconds,
      exchanges_per_s: rate('exchanges'),
      segments_per_s: rate('segments'),
      bytes_per_s: rate('bytes'),
      losses_per_s: rate('losses'),
    };
  }

  /** The ring is a map of bytes: how full it is, is its occupancy. Per-socket storage lives and dies with the sockets. */
  #maps(): MapStatus[] {
    const { ring, kernel } = this.#parts;
    return kernel.maps.map((map) => (map.type === 'ringbuf' ? { ...map, entries: Math.max(0, ring.used) } : map));
  }

  async #processes(): Promise<ProcessStatus[]> {
    const { user, system } = process.cpuUsage();
    const own: ProcessStatus = {
      role: 'pipeline',
      pid: process.pid,
      cpu_s: (user + system) / 1e6,
      rss_bytes: process.memoryUsage.rss(),
    };
    const attacher = await this.#parts.client.usage();
    return attacher.ok ? [{ role: 'attacher', ...attacher.value }, own] : [own];
  }
}

function windowStalls(pipeline: Pipeline): ConnectionStatus['window_stalls'] {
  const of = ({ count, open, ns }: Stalls) => ({ count, open, seconds: ns / 1e9 });
  const { stream, connection } = pipeline.decoding.h2.stalls;
  return { stream: of(stream), connection: of(connection) };
}
