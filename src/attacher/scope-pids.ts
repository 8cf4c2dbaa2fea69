/** The processes of the observed cgroups. */
import type { HostFiles } from './host.ts';

const PIDS_MAX = 32_768;
/** Cgroups walked for their processes. */
const CGROUPS_MAX = 16_384;

/** Pids in these cgroup folders and below them. */
export const scopePids = (host: HostFiles, folders: readonly string[]): number[] => {
  const pids: number[] = [];
  const waiting = [...folders];
  for (let i = 0; i < waiting.length && i < CGROUPS_MAX && pids.length < PIDS_MAX; i++) {
    const folder = waiting[i]!;
    for (const line of (host.read(`${folder}/cgroup.procs`) ?? '').split('\n')) {
      const pid = Number(line);
      // 0: a process that our pid namespace does not show.
      if (Number.isInteger(pid) && pid > 0 && pids.length < PIDS_MAX) pids.push(pid);
    }
    for (const name of host.folders(folder)) waiting.push(`${folder}/${name}`);
  }
  return pids;
};
