import { EXIT, fail } from '../../base/failure.ts';
import { defaultSocketPath } from '../../config/paths.ts';
import { parseListen } from '../../config/units.ts';
import { isLoopback, readToken } from '../../serve/public.ts';
import type { RunFlags } from '../flags.ts';
import { settings } from './settings.ts';

/** `headwater run`: everything that can be wrong without touching the kernel is said before the agent is loaded. */
export async function run(flags: RunFlags): Promise<number> {
  const { cgroup, config: file, ...rest } = flags;
  const config = settings(file, { ...rest, ...(cgroup !== undefined && { cgroups: cgroup }) });
  const token = config.listen === undefined ? null : tokenFor(config.listen, config.token_file);
  const { runCommand } = await import('../../agent/run.ts');
  return await runCommand({ config, socketPath: config.socket ?? defaultSocketPath(), token });
}

/** The token that `listen` asks its clients for; null: none. */
function tokenFor(listen: string, tokenFile: string | undefined): string | null {
  if (tokenFile === undefined) {
    const { host } = parseListen(listen)!;
    if (isLoopback(host)) return null;
    fail(
      EXIT.USAGE,
      `listen: ${host} can be reached from other machines, so it needs a token`,
      'write one to a file and name it as token_file in the configuration, or listen on 127.0.0.1',
    );
  }
  const read = readToken(tokenFile);
  if (!read.ok) fail(EXIT.USAGE, read.message, 'make one: head -c 32 /dev/urandom | base64 > FILE');
  return read.token;
}
