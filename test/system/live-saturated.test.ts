/**
 * R10 at the rate that the machine reaches: the agent is killed, stopped, out of memory, or its disk is full, and the clients notice nothing: each
 * request is answered, and the server goes on answering while it lasts and afterwards, by the server's own log.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { Workload } from '../../bench/workload.ts';
import { Agent, type AgentOptions } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { MemoryLimit, memoryCanBeLimited } from '../rig/memory-limit.ts';
import { when } from '../rig/need.ts';
import { must } from '../rig/program.ts';
import { eventually, expectConserved, pidOf, settled, statusOf } from './live/truth.ts';

/** Each connection sends its next request when the last is answered: as fast as the server goes. */
const SATURATED = 0;
const CONNECTIONS = 32;
/** Load goes on in turns of so many seconds until everything has happened. */
const TURN_S = 1;
/** Bytes of the server's log: some thousand calls. */
const GOES_ON_BYTES = 1 << 20;
const DISK_BYTES = 4 << 20;
const ROOM_BYTES = 1 << 20;
const VIEWERS = 50;

const needs = ['root', 'cgroup2', 'bpf', 'nginx', 'clang', 'bpftool'] as const;
const attached = async (cgroup: Cgroup): Promise<string> =>
  (await must(['bpftool', 'cgroup', 'show', cgroup.path])).trim();
const alive = (pid: number): boolean =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));

interface Scene {
  /** Resolves when the server has answered some thousand calls more. */
  goesOn(): Promise<void>;
  readonly agent: Agent;
  readonly cgroup: Cgroup;
  readonly pids: { readonly attacher: number; readonly pipeline: number };
}

/** What happens to the agent under load, and what is to be seen afterwards. */
interface Event {
  happens(scene: Scene): Promise<void>;
  afterwards(scene: Scene): Promise<void>;
}

/** Loads the server, once for each event. */
async function underLoad(options: Omit<AgentOptions, 'cgroups'>, events: readonly Event[]): Promise<void> {
  using folder = new Folder();
  await must(['chmod', '755', folder.path]);
  const log = folder.file('answered.log');
  await using cgroup = new Cgroup('saturated');
  await using workload = await Workload.start(cgroup, { accessLog: log });
  await using agent = await Agent.start({ cgroups: [cgroup], ...options });
  const status = await statusOf(agent);
  const pids = { attacher: pidOf(status, 'attacher'), pipeline: pidOf(status, 'pipeline') };
  const goesOn = async (): Promise<void> => {
    const enough = statSync(log).size + GOES_ON_BYTES;
    await eventually(() => expect(statSync(log).size).toBeGreaterThan(enough));
  };
  const scene = { agent, cgroup, pids, goesOn };
  expect(await attached(cgroup)).toContain('headwater');
  for (const { happens, afterwards } of events) {
    let over = false;
    const happening = async (): Promise<void> => {
      await goesOn();
      await happens(scene);
      await goesOn();
    };
    const loading = async (): Promise<void> => {
      while (!over) {
        // `sent` counts what was asked, `requests` whole answers.
        const turn = await workload.paced(SATURATED, TURN_S, CONNECTIONS);
        const { requests, sent, errors } = turn as typeof turn & { sent: number };
        expect([requests, errors]).toEqual([sent, 0]);
      }
    };
    await Promise.all([loading(), happening().finally(() => (over = true))]);
    await afterwards(scene);
  }
}

const detached = ({ cgroup }: Scene): Promise<void> => eventually(async () => expect(await attached(cgroup)).toBe(''));

const nothingLeft = async ({ cgroup, pids }: Scene): Promise<void> => {
  expect(await attached(cgroup)).toBe('');
  await eventually(() => expect(Object.values(pids).filter(alive)).toEqual([]));
};
const captures = async ({ agent, cgroup }: Scene): Promise<void> => {
  expect(await attached(cgroup)).toContain('headwater');
  const status = await settled(agent);
  expectConserved(status);
  expect(status.ledger.exchanges).toBeGreaterThan(0);
};

describe.each(['pipeline', 'attacher'] as const)('the %s', (role) => {
  when(it, ...needs)(
    'is stopped for a while: it goes on, every byte is accounted for; is killed: detached, nothing left',
    async () => {
      const stopped: Event = {
        happens: async ({ pids, goesOn }) => {
          process.kill(pids[role], 'SIGSTOP');
          await goesOn();
          process.kill(pids[role], 'SIGCONT');
        },
        afterwards: captures,
      };
      const killed: Event = {
        happens: async (scene) => {
          process.kill(scene.pids[role], 'SIGKILL');
          await detached(scene);
        },
        afterwards: nothingLeft,
      };
      await underLoad({}, [stopped, killed]);
    },
  );
});

when(it.skipIf(!memoryCanBeLimited()) as unknown as typeof it, ...needs)(
  'out of memory: the kernel ends the pipeline, nothing left',
  async () => {
    await using limit = new MemoryLimit(ROOM_BYTES);
    const starved: Event = {
      happens: async (scene) => {
        const { agent, pids } = scene;
        limit.add(pids.pipeline);
        // Left alone it may do with the memory that it has: hundreds of viewers at once need more.
        for (let i = 0; i < 100 && alive(pids.pipeline); i++) {
          for (let n = 0; n < VIEWERS; n++) void agent.get('/v1/status').catch(() => {});
          await sleep(20);
        }
        await detached(scene);
      },
      afterwards: async (scene) => {
        await nothingLeft(scene);
        expect(limit.kills).toBe(1);
      },
    };
    await underLoad({}, [starved]);
  },
);

when(it, ...needs)(
  'the disk of log and store is full: capture goes on, and what was not written is counted',
  async () => {
    using folder = new Folder();
    const disk = folder.file('disk');
    mkdirSync(disk);
    await must(['mount', '-t', 'tmpfs', '-o', `size=${DISK_BYTES}`, 'tmpfs', disk]);
    try {
      const full: Event = {
        happens: async ({ agent }) => {
          await agent.untilStatus('calls that the log did not take', ({ ledger }) =>
            ledger.losses.some(({ reason }) => reason.startsWith('log_')),
          );
        },
        afterwards: async (scene) => {
          await captures(scene);
          // The store's queue holds a second of a fast machine, and many of a slow one: its losses are certain only at the end.
          const { stderr: said } = await scene.agent.program.stop('SIGINT');
          expect(said).toMatch(/cannot write to .*headers\.ndjson: ENOSPC/);
          expect(said).toMatch(/cannot write to the store in .*: ENOSPC/);
          expect(said).toMatch(/[1-9]\d* calls could not be written to .*data/);
        },
      };
      const config = 'log:\n  queue: 1MiB\n';
      await underLoad({ data: `${disk}/data`, log: `${disk}/headers.ndjson`, config }, [full]);
    } finally {
      spawnSync('umount', ['-l', disk]);
    }
  },
);
