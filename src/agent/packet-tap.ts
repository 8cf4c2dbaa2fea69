/**
 * Where `export --pcapng` gets its packets: between the ring and the pipeline, and only while somebody asks. The pipeline takes each
 * segment first, so that secrets are bound to a connection as early as they can be. Which secrets belong to a handshake is known
 * to the TLS stage alone; it is asked many times a second while a handshake is young.
 */
import type { Segment, SocketEvent } from '../model/segment.ts';
import type { CaptureSink } from '../model/stages.ts';
import type { PacketHub } from '../serve/packets.ts';
import type { TlsConnection } from '../tls/connection.ts';
import { keyLogLine, LINE_BYTES_MAX } from '../tls/keylog-line.ts';
import { SECRET_LABELS } from '../tls/secrets.ts';

/** Handshakes that are asked for their secrets; beyond it their secrets are not handed out. */
const HANDSHAKES_MAX = 16_384;
/** A handshake that has not said all by now has no more to say. */
const YOUNG_MS = 10_000;

interface Handshake {
  /** Which of SECRET_LABELS were handed out, as bits. */
  told: number;
  readonly until: number;
}

const bit = (label: (typeof SECRET_LABELS)[number]): number => 1 << SECRET_LABELS.indexOf(label);
/** Nothing comes after these. */
const TLS12 = bit('CLIENT_RANDOM');
const TLS13 =
  bit('CLIENT_HANDSHAKE_TRAFFIC_SECRET') |
  bit('SERVER_HANDSHAKE_TRAFFIC_SECRET') |
  bit('CLIENT_TRAFFIC_SECRET_0') |
  bit('SERVER_TRAFFIC_SECRET_0');

export class PacketTap implements CaptureSink {
  readonly #pipeline: CaptureSink;
  readonly #hub: PacketHub;
  readonly #young = new Map<TlsConnection, Handshake>();
  #secrets = false;

  constructor(pipeline: CaptureSink, hub: PacketHub) {
    this.#pipeline = pipeline;
    this.#hub = hub;
  }

  segment(segment: Segment): void {
    this.#pipeline.segment(segment);
    this.#hub.segment(segment);
  }

  socket(event: SocketEvent): void {
    this.#pipeline.socket(event);
  }

  /** Secrets are wanted from now on, or not any more. */
  wantSecrets(wanted: boolean): void {
    this.#secrets = wanted;
    if (!wanted) this.#young.clear();
  }

  /** A TLS connection begins. */
  handshake(connection: TlsConnection): void {
    if (this.#secrets && this.#young.size < HANDSHAKES_MAX)
      this.#young.set(connection, { told: 0, until: performance.now() + YOUNG_MS });
  }

  /** Hands out the secrets that handshakes have come to. */
  tellSecrets(): void {
    const now = performance.now();
    for (const [connection, handshake] of this.#young) {
      this.#tell(connection, handshake);
      if (handshake.until < now || handshake.told === TLS12 || (handshake.told & TLS13) === TLS13)
        this.#young.delete(connection);
    }
  }

  #tell(connection: TlsConnection, handshake: Handshake): void {
    const random = connection.negotiation.hello?.random;
    if (random === undefined) return;
    for (const label of SECRET_LABELS) {
      if ((handshake.told & bit(label)) !== 0) continue;
      const found = connection.secret(label);
      if (found === null) continue;
      handshake.told |= bit(label);
      const line = Buffer.allocUnsafeSlow(LINE_BYTES_MAX);
      const length = keyLogLine(line, label, random, connection.shared.store.memory, found);
      this.#hub.secrets(line.subarray(0, length));
      line.fill(0);
    }
  }
}
