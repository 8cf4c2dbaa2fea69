/** A server and client of rustls with aws-lc-rs (test/rig/rustls). tools/setup builds it where there is cargo. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

export const RUSTLS_PEER = join(import.meta.dirname, '../../../.cache/rustls-peer/release/peer');

/** Why it cannot be run; null when it can. */
export const withoutPeer = (): string | null =>
  existsSync(RUSTLS_PEER) ? null : 'needs a program of rustls: install cargo and run tools/setup test';
