/** The header log's descriptors come from the attacher: this process may open nothing. */
import { close, createReadStream, createWriteStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGzip, createZstdCompress } from 'node:zlib';
import type { AttacherClient } from '../attacher/client.ts';
import type { LogOpener } from '../export/log/opener.ts';

const closeFd = promisify(close);

/** The log's descriptor when it goes to standard output. */
export const STDOUT = 1;

export class AttacherOpener implements LogOpener {
  readonly name: string;
  readonly #client: Pick<AttacherClient, 'rotate' | 'archived'>;
  readonly #compress: 'none' | 'gzip' | 'zstd';
  readonly #say: (line: string) => void;
  /** Descriptor to use at the next `open`. */
  #next: number;
  #work: Promise<void> = Promise.resolve();

  constructor(
    client: Pick<AttacherClient, 'rotate' | 'archived'>,
    fd: number,
    log: { readonly name: string; readonly compress: 'none' | 'gzip' | 'zstd' },
    say: (line: string) => void,
  ) {
    this.#client = client;
    this.#next = fd;
    this.name = log.name;
    this.#compress = log.compress;
    this.#say = say;
  }

  /** The attacher opened the log's path again (SIGHUP): use `fd` from the next `open` on. */
  reopened(fd: number): void {
    this.#next = fd;
  }

  async open(): Promise<number> {
    return this.#next;
  }

  async rotate(): Promise<number> {
    // One archive at a time: the attacher keeps track of one, and every closed file is to be compressed.
    await this.#work;
    const answer = await this.#client.rotate();
    if (!answer.ok) throw Object.assign(new Error(answer.why), { code: answer.why });
    const { log, archive } = answer.value;
    this.#next = log;
    if (archive !== null) this.#work = this.#work.then(() => this.#archive(archive.source, archive.target));
    return log;
  }

  async #archive(source: number, target: number): Promise<void> {
    const packer = this.#compress === 'gzip' ? createGzip() : createZstdCompress();
    try {
      // Streams close their descriptors. Positions are explicit: the source's offset is where the last write ended.
      await pipeline(
        createReadStream('', { fd: source, start: 0, highWaterMark: 1 << 20 }),
        packer,
        createWriteStream('', { fd: target }),
      );
      await this.#client.archived(true);
    } catch (error) {
      this.#say(`a closed log file stays uncompressed: ${(error as Error).message}`);
      await this.#client.archived(false);
    }
  }

  async release(fd: number): Promise<void> {
    // Standard output belongs to the process: the libraries in it flush it once more when it ends.
    if (fd !== STDOUT) await closeFd(fd);
  }

  settled(): Promise<void> {
    return this.#work;
  }
}
