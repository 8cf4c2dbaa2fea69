/** What the handshakes of each service agreed on, as metrics: label names are those of OpenTelemetry's tls.* attributes. */
import type { TlsState } from '../../stats/tls.ts';
import * as catalogue from './catalogue.ts';
import { type FamilyWriter, Labels, type MetricFamily } from './family.ts';

/** TLS of a service on one side since the start. */
export interface ServiceTls {
  readonly service: string;
  readonly side: string;
  readonly state: TlsState;
}

const NAMED = [
  ['versions', catalogue.TLS_VERSIONS],
  ['ciphers', catalogue.TLS_CIPHERS],
  ['alpn', catalogue.TLS_PROTOCOLS],
] as const;

/** Writes the families of TLS, yielding after each service. Server names and fingerprints are the report's alone: clients choose them. */
export function* writeTls(to: (family: MetricFamily) => FamilyWriter, services: Iterable<ServiceTls>): Generator<void> {
  for (const { service, side, state } of services) {
    const own = [side, service];
    const labels = new Labels(catalogue.TLS_READ.labels, own);
    const { connections, resumed, full, decrypted } = state.counts;
    if (state.handshake.count > 0) to(catalogue.TLS_HANDSHAKE).histogram(labels, [state.handshake], null);
    for (const [value, count] of [
      ['true', resumed],
      ['false', full],
      ['unknown', connections - resumed - full],
    ] as const)
      to(catalogue.TLS_HANDSHAKES).sample(new Labels(catalogue.TLS_HANDSHAKES.labels, [...own, value]), count);
    for (const [kind, family] of NAMED)
      for (const [name, count] of state.names[kind])
        to(family).sample(new Labels(family.labels, [...own, name]), count);
    to(catalogue.TLS_READ).sample(labels, decrypted);
    const end = state.certificateNotAfter;
    if (end !== null) to(catalogue.TLS_CERTIFICATE_END).sample(labels, end);
    yield;
  }
}
