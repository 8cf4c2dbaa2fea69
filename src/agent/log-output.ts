/** The header log of a run: its format, its writer, what of the calls goes into it, and what is said when writing fails. */

import type { Handover } from '../attacher/child.ts';
import type { AttacherClient } from '../attacher/client.ts';
import type { TimeFormatter } from '../base/clock.ts';
import type { Config } from '../config/schema.ts';
import type { exchangeIds } from '../exchange/id.ts';
import { LogExporter } from '../export/log/exporter.ts';
import { NdjsonFormat } from '../export/log/ndjson.ts';
import { HeaderSelection } from '../export/log/selection.ts';
import { type LogEvent, LogWriter } from '../export/log/writer.ts';
import type { LossLedger } from '../model/loss.ts';
import { AttacherOpener, STDOUT } from './log-source.ts';

export interface LogParts {
  readonly client: AttacherClient;
  readonly start: Pick<Handover['start'], 'logFd'>;
  readonly config: Config['log'];
  readonly id: ReturnType<typeof exchangeIds>;
  readonly time: TimeFormatter;
  readonly losses: LossLedger;
  say(line: string): void;
}

export class LogOutput {
  readonly exporter: LogExporter;
  readonly #writer: LogWriter;
  readonly #opener: AttacherOpener;

  private constructor(exporter: LogExporter, writer: LogWriter, opener: AttacherOpener) {
    this.exporter = exporter;
    this.#writer = writer;
    this.#opener = opener;
  }

  /** Null: nothing is to be logged. A text: why nothing can be written. */
  static async open({ client, start, config, id, time, losses, say }: LogParts): Promise<LogOutput | string | null> {
    if (start.logFd < 0) return null;
    const name = start.logFd === STDOUT ? 'standard output' : config.file!;
    const opener = new AttacherOpener(client, start.logFd, { name, compress: config.compress }, say);
    const { rotate, queue, keep, headers } = config;
    const rotates = start.logFd !== STDOUT;
    const writer = new LogWriter({
      opener,
      losses,
      report: (event) => say(eventText(event)),
      queueBytes: queue,
      rotateBytes: rotates && rotate.size > 0 ? rotate.size : null,
      rotateAgeMs: rotates && rotate.age > 0 ? rotate.age / 1e6 : null,
    });
    const problem = await writer.start();
    if (problem !== null) return problem;
    const { include, exclude } = headers;
    const selection = include.length + exclude.length === 0 ? undefined : new HeaderSelection(include, exclude);
    const format = new NdjsonFormat({ id, time, headers: selection });
    const kept = { errors: keep.errors, slowNs: keep.slow ?? null, share: keep.share };
    return new LogOutput(new LogExporter(format, writer, kept, id), writer, opener);
  }

  /** The attacher opened the log's path again (SIGHUP). */
  reopened(fd: number): void {
    this.#opener.reopened(fd);
    this.#writer.reopen();
  }
}

function eventText(event: LogEvent): string {
  switch (event.type) {
    case 'write_failed':
      return `cannot write to ${event.name}: ${event.code}; calls go on being counted, lines wait or are lost (log_write_failed)`;
    case 'recovered':
      return `writing to ${event.name} works again; ${event.lines} lines were lost meanwhile`;
    case 'reader_gone':
      return `nobody reads ${event.name} any more: no further call is logged`;
    case 'reopen_failed':
    case 'rotate_failed':
      return `${event.name} stays in use, a new file could not be opened: ${event.code}`;
  }
}
