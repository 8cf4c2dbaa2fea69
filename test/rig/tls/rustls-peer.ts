/** A server and client of rustls with aws-lc-rs (test/rig/rustls). Building AWS-LC takes minutes, so it is built by hand. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '../../..');
const TARGET = '.cache/rustls-peer';

export const RUSTLS_PEER = join(ROOT, TARGET, 'release/peer');

/** Why it cannot be run; null when it can. */
export const withoutPeer = (): string | null =>
  existsSync(RUSTLS_PEER)
    ? null
    : `needs a program of rustls: cargo build --release --locked --manifest-path test/rig/rustls/Cargo.toml --target-dir ${TARGET}`;
