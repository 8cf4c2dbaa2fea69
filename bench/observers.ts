/** What watches the load: Headwater, or a rival. Each says what it costs and how many calls it has seen. */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { Agent } from '../test/rig/agent.ts';
import type { Cgroup } from '../test/rig/cgroup.ts';
import type { Folder } from '../test/rig/folder.ts';
import { Program } from '../test/rig/program.ts';

const STOP_TIMEOUT_MS = 60_000;

/** For whoever measures something else than the log: one call in a million is logged. */
export const LOG_NOTHING = 'log:\n  keep:\n    errors: false\n    share: 0.000001\n';

export interface Observer extends AsyncDisposable {
  readonly pids: readonly number[];
  /** Stops it; how many calls it has reported since its start, null when it does not report calls. */
  reported(): Promise<number | null>;
}

export const nobody = (): Observer => ({
  pids: [],
  reported: async () => null,
  [Symbol.asyncDispose]: async () => {},
});

/** What a run of the agent said when it ended. */
export interface LastWords {
  readonly exchanges: number;
  /** Calls whose request was read, and those that are known to have passed without: shed, or lost with the ring full. */
  readonly requests: { readonly seen: number; readonly lost: number };
  /** "nothing was lost", or each reason with count and bytes. */
  readonly losses: string;
}

/** The agent and its attacher on cgroups of the bench. */
export class HeadwaterObserver implements Observer {
  readonly agent: Agent;
  readonly attacher: number;
  readonly pipeline: number;

  private constructor(agent: Agent, attacher: number, pipeline: number) {
    this.agent = agent;
    this.attacher = attacher;
    this.pipeline = pipeline;
  }

  /** `secrets`: take those of TLS; only where servers run private copies of their libraries. `data`: folder of the store; without it nothing is stored. */
  static async start(
    cgroups: readonly (Cgroup | string)[],
    config: string,
    secrets = false,
    data?: string,
  ): Promise<HeadwaterObserver> {
    const agent = await Agent.start({ cgroups, config, secrets, ...(data === undefined ? {} : { data }) });
    const { processes } = JSON.parse((await agent.get('/v1/status')).body) as {
      processes: { role: 'attacher' | 'pipeline'; pid: number }[];
    };
    const pidOf = (wanted: string): number => processes.find(({ role }) => role === wanted)!.pid;
    return new HeadwaterObserver(agent, pidOf('attacher'), pidOf('pipeline'));
  }

  get pids(): readonly number[] {
    return [this.attacher, this.pipeline];
  }

  async reported(): Promise<number> {
    return (await this.lastWords()).exchanges;
  }

  async lastWords(): Promise<LastWords> {
    const { stderr } = await this.agent.program.stop('SIGINT', STOP_TIMEOUT_MS);
    const counts = /captured (\d+) exchanges; requests (\d+) seen, (\d+) lost/.exec(stderr);
    if (counts === null) throw new Error(`the agent ended without its ledger:\n${stderr}`);
    const losses = /nothing was lost|lost, because: (.*)/.exec(stderr);
    const [exchanges, seen, lost] = counts.slice(1).map(Number) as [number, number, number];
    return { exchanges, requests: { seen, lost }, losses: losses?.[1] ?? 'nothing was lost' };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.agent[Symbol.asyncDispose]();
  }
}

/** Whether a process has a packet socket that is bound: it sees what passes from now on. */
function sniffs(pid: number): boolean {
  try {
    const inodes = readFileSync('/proc/net/packet', 'latin1')
      .split('\n')
      .slice(1)
      .map((line) => line.trim().split(/\s+/))
      .flatMap((fields) => (fields[5] === '1' ? [fields.at(-1)!] : []));
    return readdirSync(`/proc/${pid}/fd`).some((fd) => {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      return inode !== undefined && inodes.includes(inode);
    });
  } catch {
    return false; // It closes descriptors while it starts.
  }
}

/** A program that reads from a packet socket, stopped with SIGINT. */
async function sniffer(command: readonly string[], calls: () => number | null): Promise<Observer> {
  const program = new Program(command);
  await program.until('capture', () => sniffs(program.pid));
  return {
    pids: [program.pid],
    reported: async () => {
      await program.stop('SIGINT');
      return calls();
    },
    [Symbol.asyncDispose]: () => program[Symbol.asyncDispose](),
  };
}

/** Uses this share of a core, in pieces as long as the agent's, and observes nothing: what is lost then is the machine's price for sharing two cores. */
export function burner(share: number): Observer {
  const program = new Program([process.execPath, join(import.meta.dirname, 'burner.ts'), String(share)]);
  // Its CPU time is no cost of a call.
  return { ...nobody(), [Symbol.asyncDispose]: () => program[Symbol.asyncDispose]() };
}

/** Writes packets, parses nothing. */
export const tcpdump = (folder: Folder, port: number): Promise<Observer> =>
  sniffer(
    ['tcpdump', '-i', 'lo', '-B', '65536', '-Z', 'root', '-w', folder.file('tcpdump.pcap'), `tcp port ${port}`],
    () => null,
  );

/** A line for each request and each response: time, both addresses, direction, then method or "-" in sixth place. */
export const httpry = (folder: Folder, port: number): Promise<Observer> => {
  const file = folder.file('httpry.txt');
  return sniffer(['httpry', '-q', '-i', 'lo', '-o', file, `tcp port ${port}`], () => httpryCalls(file));
};

/** Requests that httpry has seen. */
export const httpryCalls = (file: string): number =>
  readFileSync(file, 'latin1').match(/^[^#\t][^\t]*\t[^\t]*\t[^\t]*\t>\t/gm)?.length ?? 0;
