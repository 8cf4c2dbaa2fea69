/** What the pairers of all connections share, HTTP/1 and HTTP/2: limits, pools, where exchanges and losses go. */
import type { Interim } from '../model/exchange.ts';
import type { LossSink } from '../model/loss.ts';
import type { Message } from '../model/message.ts';
import type { MessagePool } from '../model/pool.ts';
import type { ExchangeSink } from '../model/stages.ts';
import { GrpcRoutes } from './grpc.ts';
import { type Pending, PendingPool } from './pending.ts';

export interface PairerLimits {
  /** A final response that begins later than this after the request's last byte is a timeout, in ns. */
  readonly timeoutNs: number;
  /** A call without a response is logged this long after the request's last byte, in ns; >= timeoutNs. */
  readonly lateNs: number;
  /** Requests of one connection that wait for their responses. */
  readonly pendingMax: number;
  /** Interim responses kept for each call, and the head bytes of all of them. */
  readonly interimMax: number;
  readonly interimBytesMax: number;
}

export const PAIRER_LIMITS: PairerLimits = {
  timeoutNs: 60e9,
  lateNs: 600e9,
  pendingMax: 1024,
  interimMax: 16,
  interimBytesMax: 16 * 1024,
};

/** What all pairers of a pipeline have in common. */
export class PairerShared {
  readonly exchangeSink: ExchangeSink;
  readonly messagePool: Pick<MessagePool, 'give'>;
  /** Only what the pairing itself gives up is counted here; bytes are counted by whoever missed them. */
  readonly losses: LossSink;
  readonly limits: PairerLimits;
  readonly pending = new PendingPool();
  readonly grpcRoutes = new GrpcRoutes();

  constructor(
    exchangeSink: ExchangeSink,
    messagePool: Pick<MessagePool, 'give'>,
    losses: LossSink,
    limits: PairerLimits = PAIRER_LIMITS,
  ) {
    this.exchangeSink = exchangeSink;
    this.messagePool = messagePool;
    this.losses = losses;
    this.limits = limits;
  }

  /** Hands over an exchange that is ready. */
  publish(p: Pending): void {
    for (const { reason, bytes } of p.losses) if (bytes === 0) this.losses.named?.(reason);
    this.exchangeSink.exchange(p);
  }

  /** An interim response of `p`'s call; it goes back to its pool, so its fields are copied. */
  interject(p: Pending, response: Message): void {
    const { limits, losses } = this;
    const bytes = p.interimBytes + response.headBytes;
    if (p.interim.length >= limits.interimMax || bytes > limits.interimBytesMax) {
      p.lose('queue_limit', response.headBytes);
      losses.lose('queue_limit', 1, response.headBytes);
    } else {
      p.interimBytes = bytes;
      p.interim = [...p.interim, copyInterim(response)];
    }
    p.anomalies |= response.anomalies;
    p.loseAllOf(response);
  }
}

function copyInterim({ status, firstByteAt, fields }: Message): Interim {
  const copy: [string, string][] = [];
  for (let i = 0; i < fields.count; i++) copy.push([fields.lines[i]!.raw, fields.value(i)]);
  return { status, at: firstByteAt, fields: copy };
}
