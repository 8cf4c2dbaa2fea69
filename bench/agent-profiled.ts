/** `headwater run` with the pipeline's CPU profile written to a folder: `node bench/agent-profiled.ts FOLDER CGROUP SOCKET [LOG]`. */
import { runCommand } from '../src/agent/run.ts';
import { defaultConfig } from '../src/config/defaults.ts';
import { overlayFlags } from '../src/config/overlay.ts';

const [folder, cgroup, socketPath, log] = process.argv.slice(2);
if (folder === undefined || cgroup === undefined || socketPath === undefined) {
  process.stderr.write('usage: node bench/agent-profiled.ts FOLDER CGROUP SOCKET [LOG]\n');
  process.exit(2);
}
await runCommand({
  config: {
    ...overlayFlags(defaultConfig(), {
      cgroups: [cgroup],
      ...(log === undefined ? { statsOnly: true } : { log }),
    }),
    // The server's libraries are the machine's: no probe goes onto them.
    tls: { ...defaultConfig().tls, secrets: false },
    store: { ...defaultConfig().store, enabled: false },
  },
  socketPath,
  token: null,
  runtimeFlags: ['--cpu-prof', `--cpu-prof-dir=${folder}`],
});
