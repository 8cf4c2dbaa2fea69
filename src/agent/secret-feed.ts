/** Puts what the TLS taps see into the store of secrets. */
import type { TappedSecret } from '../model/secret.ts';
import type { HashName } from '../tls/libcrypto.ts';
import { RANDOM_BYTES, SECRET_LABELS, type SecretLabel, type SecretStore, TRAFFIC_LABELS } from '../tls/secrets.ts';

/** The hashes that TLS 1.3's suites have, by the length of what they give (RFC 8446 B.4). */
const HASHES: Readonly<Record<number, HashName>> = { 32: 'sha256', 48: 'sha384' };
const isLabel = (label: string): label is SecretLabel => (SECRET_LABELS as readonly string[]).includes(label);

export class SecretFeed {
  /** Secrets without what leads to their connection, or for something else than traffic. */
  unusable = 0;
  readonly #store: SecretStore;

  constructor(store: SecretStore) {
    this.#store = store;
  }

  take(secret: TappedSecret): void {
    const { tap, label, memory, secretAt, secretBytes, contextAt, contextBytes, ts } = secret;
    switch (tap) {
      case 'expand_label': {
        const traffic = TRAFFIC_LABELS[label];
        const hash = HASHES[secretBytes];
        if (traffic === undefined || hash === undefined || contextBytes !== secretBytes) this.unusable++;
        else this.#store.addExpansion(traffic, hash, memory, secretAt, secretBytes, contextAt, ts);
        break;
      }
      case 'key_expansion':
        if (contextBytes !== 2 * RANDOM_BYTES) this.unusable++;
        else
          this.#store.add('CLIENT_RANDOM', memory, contextAt + RANDOM_BYTES, RANDOM_BYTES, secretAt, secretBytes, ts);
        break;
      case 'keylog':
        if (!isLabel(label) || contextBytes !== RANDOM_BYTES) this.unusable++;
        else this.#store.add(label, memory, contextAt, RANDOM_BYTES, secretAt, secretBytes, ts);
    }
  }
}
