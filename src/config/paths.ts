import { join } from 'node:path';

/**
 * Where the agent's socket is unless told otherwise: systemd's RUNTIME_DIRECTORY, /run/headwater for root,
 * $XDG_RUNTIME_DIR/headwater, or a folder of the user's own below /tmp.
 */
export function defaultSocketPath(env: NodeJS.ProcessEnv = process.env, uid: number = process.getuid?.() ?? 0): string {
  const directory =
    env['RUNTIME_DIRECTORY']?.split(':')[0] ??
    (uid === 0
      ? '/run/headwater'
      : join(env['XDG_RUNTIME_DIR'] ?? '/tmp', env['XDG_RUNTIME_DIR'] ? 'headwater' : `headwater-${uid}`));
  return join(directory, 'headwater.sock');
}

/**
 * The installation key that credentials are fingerprinted with: systemd's STATE_DIRECTORY, /var/lib/headwater for root, $XDG_STATE_HOME/headwater or
 * ~/.local/state/headwater for anybody else.
 */
export const defaultKeyPath = (env?: NodeJS.ProcessEnv, uid?: number): string =>
  join(stateFolder(env, uid), 'installation.key');

/** The data folder of the store, in the same place. */
export const defaultDataPath = (env?: NodeJS.ProcessEnv, uid?: number): string => join(stateFolder(env, uid), 'data');

function stateFolder(env: NodeJS.ProcessEnv = process.env, uid: number = process.getuid?.() ?? 0): string {
  const systemd = env['STATE_DIRECTORY']?.split(':')[0];
  if (systemd !== undefined) return systemd;
  const state = env['XDG_STATE_HOME'] ?? join(env['HOME'] ?? '/tmp', '.local', 'state');
  return uid === 0 ? '/var/lib/headwater' : join(state, 'headwater');
}
