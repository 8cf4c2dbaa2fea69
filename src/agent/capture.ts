/** From the kernel's rings to calls: the reader, the pipeline that it feeds, and those who want packets beside it. */
import type { Config } from '../config/schema.ts';
import type { KernelAnchor } from '../kernel/clock.ts';
import { RingReader } from '../kernel/reader.ts';
import type { SecretReader } from '../kernel/secret-reader.ts';
import type { LossLedger } from '../model/loss.ts';
import type { Fingerprinter } from '../redact/fingerprint.ts';
import { CredentialPolicy } from '../redact/policy.ts';
import { PacketHub } from '../serve/packets.ts';
import { LIVE_SECRET_LIMITS, SecretStore } from '../tls/secrets.ts';
import { filterOf } from './filter.ts';
import type { KernelMaps } from './kernel-maps.ts';
import type { Outputs } from './outputs.ts';
import type { Owners } from './owners.ts';
import { PacketTap } from './packet-tap.ts';
import { Pipeline } from './pipeline.ts';
import { SecretFeed } from './secret-feed.ts';
import type { SelfProbe } from './self-probe.ts';
import type { Statistics } from './statistics.ts';

export interface CaptureParts {
  readonly maps: KernelMaps;
  readonly config: Config;
  readonly anchor: KernelAnchor;
  /** Who says in a packet file that it wrote it. */
  readonly application: string;
  readonly losses: LossLedger;
  readonly prints: Fingerprinter;
  readonly outputs: Outputs;
  readonly owners: Owners;
  readonly statistics: Statistics;
  readonly probe: SelfProbe;
  /** Called before each look at the ring. */
  readonly looks: () => void;
  say(line: string): void;
}

/** What the TLS taps see, from their ring into the store of secrets. */
class Secrets {
  readonly reader: SecretReader;
  readonly store = new SecretStore(LIVE_SECRET_LIMITS, true);
  readonly feed = new SecretFeed(this.store);
  readonly #take = this.feed.take.bind(this.feed);

  constructor(reader: SecretReader) {
    this.reader = reader;
  }

  read(): void {
    this.reader.drain(this.#take);
  }

  close(): void {
    this.reader.close();
    this.store.close();
  }
}

export class Capture {
  readonly pipeline: Pipeline;
  readonly packets: PacketHub;
  readonly reader: RingReader;
  /** null: TLS is not tapped. */
  readonly secrets: Secrets | null;

  constructor(parts: CaptureParts) {
    const { maps, anchor, losses, looks, application, say } = parts;
    const secrets = maps.secrets === null ? null : new Secrets(maps.secrets);
    const pipeline = pipelineOf(parts, secrets?.store ?? null, (connection) => tap.handshake(connection));
    pipeline.anchored(anchor);
    const beforeLook = (): void => {
      secrets?.read();
      looks();
    };
    const reader = new RingReader(maps.ring, maps.ringFd, pipeline.capture, beforeLook);
    this.packets = new PacketHub({
      losses,
      application,
      wallNs: anchor.wallNs,
      secrets: secrets !== null,
      wanted: (wanted, withSecrets) => {
        reader.sink = wanted ? tap : pipeline.capture;
        tap.wantSecrets(withSecrets);
      },
      beforeHandingOn: () => tap.tellSecrets(),
      say,
    });
    const tap = new PacketTap(pipeline.capture, this.packets);
    this.pipeline = pipeline;
    this.reader = reader;
    this.secrets = secrets;
  }

  /** About once a second. `nowNs`: since the anchor. */
  tick(nowNs: number): void {
    this.reader.safetyLook();
    this.secrets?.read();
    this.pipeline.tracker.tick(nowNs);
  }
}

function pipelineOf(
  { maps, config, losses, prints, outputs, owners, statistics, probe }: CaptureParts,
  secrets: SecretStore | null,
  tlsBegins: PacketTap['handshake'],
): Pipeline {
  return new Pipeline({
    probe,
    offline: false,
    losses,
    secrets,
    policy: new CredentialPolicy(prints, config.redact),
    filter: filterOf(config.filter),
    statistics: statistics.observe.bind(statistics),
    websockets: outputs.websocket,
    sinks: outputs.sinks,
    handshakes: statistics.handshake.bind(statistics),
    tlsBegins,
    verifyTags: config.tls.verify_tags,
    owners,
    connectionsMax: config.limits.connections,
    idleNs: config.timeouts.idle,
    memoryMax: config.limits.memory,
    responseTimeoutNs: config.timeouts.response,
    spare: (flow, direction, seq) => maps.spares.tell(flow, direction, seq),
  });
}
