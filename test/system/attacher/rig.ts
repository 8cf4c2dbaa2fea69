/** An attacher with the test's own pipeline behind it, spoken to over the agent's socket. */
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Cgroup } from '../../rig/cgroup.ts';
import type { Folder } from '../../rig/folder.ts';
import { type Ended, Program } from '../../rig/program.ts';
import type { ParentOptions } from './parent.ts';
import type { Command } from './pipeline.ts';

const PARENT = join(import.meta.dirname, 'parent.ts');
const PIPELINE = join(import.meta.dirname, 'pipeline.ts');

export class TestAttacher implements AsyncDisposable {
  readonly program: Program;
  readonly folder: Folder;
  readonly socketPath: string;
  readonly logPath: string;
  pipelinePid = 0;

  constructor(
    folder: Folder,
    cgroups: readonly (Cgroup | string)[],
    options: Partial<ParentOptions> = {},
    launch: readonly string[] = [],
  ) {
    this.folder = folder;
    this.socketPath = options.socketPath ?? folder.file('s.sock');
    this.logPath = folder.file('log.ndjson');
    const all: ParentOptions = {
      attach: false,
      cgroups: cgroups.map((cgroup) => (typeof cgroup === 'string' ? cgroup : cgroup.path)),
      user: 'nobody',
      socketPath: this.socketPath,
      log: { path: this.logPath, compress: 'none', keep: 0 },
      dataPath: null,
      keyPath: folder.file('state', 'key'),
      pipelineEntry: PIPELINE,
      pipelineConfig: { hello: 'pipeline' },
      ...options,
    };
    this.program = new Program([...launch, process.execPath, PARENT, JSON.stringify(all)]);
  }

  static async start(...args: ConstructorParameters<typeof TestAttacher>): Promise<TestAttacher> {
    const attacher = new TestAttacher(...args);
    await attacher.ready();
    return attacher;
  }

  get pid(): number {
    return this.program.pid;
  }

  /** Waits until the pipeline answers. */
  async ready(): Promise<void> {
    await this.program.until('a pipeline', async () => {
      const handover = await this.ask<{ pid: number }>({ do: 'handover' }).catch(() => null);
      this.pipelinePid = handover?.pid ?? 0;
      return handover !== null;
    });
  }

  /** Lets the pipeline do something. */
  ask<T = unknown>(command: Command): Promise<T> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.socketPath);
      let text = '';
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk;
      });
      socket.on('end', () => (text === '' ? reject(new Error('no answer')) : resolve(JSON.parse(text) as T)));
      socket.on('error', reject);
      socket.write(`${JSON.stringify(command)}\n`);
    });
  }

  stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<Ended> {
    return this.program.stop(signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
  }
}
