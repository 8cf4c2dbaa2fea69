/** `headwater replay`: capture files through the same pipeline. */
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { readAtMost } from '../base/bounded-file.ts';
import { type ClockAnchor, TimeFormatter, UNSEEN } from '../base/clock.ts';
import { EXIT, fail } from '../base/failure.ts';
import { makeFolders } from '../base/make-folders.ts';
import { packageVersion } from '../base/version.ts';
import { defaultKeyPath } from '../config/paths.ts';
import type { Config } from '../config/schema.ts';
import { exchangeIds } from '../exchange/id.ts';
import type { ExchangeExporter, RunTotals } from '../export/exporter.ts';
import { LogExporter } from '../export/log/exporter.ts';
import type { LogFormat, LogFormatOptions } from '../export/log/format.ts';
import { NdjsonFormat } from '../export/log/ndjson.ts';
import { InheritedOpener } from '../export/log/opener.ts';
import { HeaderSelection } from '../export/log/selection.ts';
import { LogWriter } from '../export/log/writer.ts';
import type { Connection } from '../model/connection.ts';
import type { Exchange } from '../model/exchange.ts';
import { LossLedger, type LossTotal } from '../model/loss.ts';
import { earliestAnchor } from '../pcap/begin.ts';
import { readCapture } from '../pcap/reader.ts';
import { Fingerprinter } from '../redact/fingerprint.ts';
import { loadInstallationKey } from '../redact/key.ts';
import { CredentialPolicy, KeepEverything, type RedactionPolicy } from '../redact/policy.ts';
import type { Redacted } from '../redact/redacted.ts';
import { readKeyLog } from '../tls/keylog.ts';
import { FILE_SECRET_LIMITS, SecretStore } from '../tls/secrets.ts';
import { Pipeline, type RedactedSink } from './pipeline.ts';
import type { Statistics } from './statistics.ts';

export interface ReplayOptions {
  readonly config: Config;
  /** 'summary': calls are counted, and only the last line is printed. */
  readonly format: 'ndjson' | 'har' | 'summary';
  readonly redact: boolean;
  /** Ends with the statistics: a report line before the last one, and tables on stderr. */
  readonly stats: boolean;
  /** Key log (SSLKEYLOGFILE format) with the secrets of TLS connections; null: those inside pcapng alone. */
  readonly keylog: string | null;
}

/** Output that may wait in memory: a file can wait for it. */
const QUEUE_BYTES = 8 << 20;
const STDOUT = 1;
const STATISTICS_KEY_BYTES = 16;
const TICK_NS = 1e9;

/** Reads `files` in order as one capture. Resolves to the exit code; fails with the name of what cannot be read. */
export async function replayCommand(files: readonly string[], options: ReplayOptions): Promise<number> {
  const { config } = options;
  const losses = new LossLedger();
  const filter = config.filter === '' ? null : (await import('./filter.ts')).filterOf(config.filter);
  const policy = options.redact ? credentialPolicy(config) : new KeepEverything();
  const secrets = new SecretStore(FILE_SECRET_LIMITS, false);
  if (options.keylog !== null) readKeyLogFile(options.keylog, secrets);
  const output = new ReplayOutput(options, losses, await optionalOf(options));
  await output.start();
  const sinks: RedactedSink[] = [];
  if (options.format !== 'summary') sinks.push((exchange) => output.exporter!.exchange(exchange));
  if (options.stats) sinks.push((exchange) => output.count(exchange));
  const pipeline = new Pipeline({
    losses,
    offline: true,
    secrets,
    ...(options.stats ? { handshakes: (connection: Connection) => output.handshake(connection) } : {}),
    owners: null,
    policy,
    filter,
    sinks: () => sinks,
    websockets: options.format === 'summary' ? null : (session) => output.exporter!.websocket(session),
    responseTimeoutNs: config.timeouts.response,
    idleNs: config.timeouts.idle,
    connectionsMax: config.limits.connections,
  });
  const onAnchor = (first: ClockAnchor): void => {
    pipeline.anchored(first);
    output.open(first);
  };
  let anchor = files.length > 1 ? await earliestAnchor(files) : null;
  if (anchor !== null) onAnchor(anchor);
  let problem = '';
  for (const file of files) {
    const result = await readCapture(file, pipeline.capture, pipeline.losses, {
      anchor,
      onAnchor,
      onSecrets: (type, data) => {
        if (type === TLS_KEY_LOG) takeKeyLog(`secrets in ${file}`, data, secrets);
      },
      between: () => output.room(),
    });
    if (!result.ok) {
      problem = result.message;
      break;
    }
    anchor ??= result.anchor;
    for (const { what, count } of result.undecodable) note(`${file}: ${count} packets of ${what} are not understood`);
    if (result.cut !== null) note(`${file}: ${result.cut}`);
  }
  if (problem !== '' && pipeline.tracker.counters.segments === 0) fail(EXIT.USAGE, problem);
  if (output.exporter === null) output.open(NO_TIME);
  pipeline.finish();
  output.report(pipeline.losses.totals());
  await output.exporter!.end(() => totalsOf(pipeline));
  secrets.close();
  if (problem !== '') fail(EXIT.USAGE, problem);
  return EXIT.DONE;
}

/** The anchor of a capture without a packet. */
const NO_TIME: ClockAnchor = { wallNs: 0n };

const note = (text: string): void => {
  process.stderr.write(`headwater: ${text}\n`);
};

/** The pcapng type of secrets in the format of a key log ("TLSK"). */
const TLS_KEY_LOG = 0x544c534b;
const KEY_LOG_BYTES_MAX = 1 << 30;

function readKeyLogFile(path: string, secrets: SecretStore): void {
  let text: Buffer | null;
  try {
    text = readAtMost(path, KEY_LOG_BYTES_MAX);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    fail(EXIT.USAGE, `cannot read key log ${path}: ${KEY_LOG_PROBLEMS[code] ?? code}`);
  }
  if (text === null) fail(EXIT.USAGE, `cannot read key log ${path}: it is larger than 1 GiB`);
  takeKeyLog(`key log ${path}`, text, secrets);
}

const KEY_LOG_PROBLEMS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  EACCES: 'permission denied',
};

/** Takes in a key log's lines and zeroes `text`; says how many were none. */
function takeKeyLog(name: string, text: Buffer, secrets: SecretStore): void {
  const { malformed, firstMalformed } = readKeyLog(text, secrets, 0);
  text.fill(0);
  if (malformed === 0) return;
  const lines =
    malformed === 1
      ? `line ${firstMalformed} is no key log line`
      : `${malformed} lines are no key log lines, the first is line ${firstMalformed}`;
  note(`${name}: ${lines}; the others were used`);
}

function credentialPolicy(config: Config): RedactionPolicy {
  const path = defaultKeyPath();
  try {
    makeFolders(dirname(path), 0o700);
  } catch {
    // The key's own message says why.
  }
  const key = loadInstallationKey(path);
  if (!key.ok) fail(EXIT.MACHINE, key.problem);
  return new CredentialPolicy(new Fingerprinter(key.key), config.redact);
}

function totalsOf(pipeline: Pipeline): RunTotals {
  const { segments, bytes, connections } = pipeline.tracker.counters;
  return { segments, bytes, connections, exchanges: pipeline.counters.exchanges, losses: pipeline.losses.totals() };
}

/** What only some replays need; null: this one does not. */
interface Optional {
  readonly har: typeof import('../export/log/har.ts') | null;
  readonly statistics: typeof import('./statistics.ts') | null;
  readonly render: typeof import('../stats/render.ts') | null;
}

/** It is loaded when it is asked for: the start of the program is a good part of what a small file costs. */
async function optionalOf({ format, stats }: ReplayOptions): Promise<Optional> {
  return {
    har: format === 'har' ? await import('../export/log/har.ts') : null,
    statistics: stats ? await import('./statistics.ts') : null,
    render: stats ? await import('../stats/render.ts') : null,
  };
}

/** Standard output in the format asked for; the format is chosen when the first packet says what time it is. */
class ReplayOutput {
  exporter: ExchangeExporter | null = null;
  #statistics: Statistics | null = null;
  /** Time of the next tick of the statistics: a file's time passes with its calls. */
  #nextTick = Number.NEGATIVE_INFINITY;
  #last: number = UNSEEN;
  readonly #writer: LogWriter;
  readonly #options: ReplayOptions;
  readonly #optional: Optional;

  constructor(options: ReplayOptions, losses: LossLedger, optional: Optional) {
    this.#options = options;
    this.#optional = optional;
    this.#writer = new LogWriter({
      opener: new InheritedOpener(STDOUT, 'stdout'),
      losses,
      report: (event) => {
        if (event.type === 'write_failed') note(`cannot write to standard output: ${event.code}`);
      },
      queueBytes: QUEUE_BYTES,
      rotateBytes: null,
      rotateAgeMs: null,
    });
  }

  async start(): Promise<void> {
    const problem = await this.#writer.start();
    if (problem !== null) fail(EXIT.USAGE, problem);
  }

  open(anchor: ClockAnchor): void {
    const { include, exclude } = this.#options.config.log.headers;
    const run = randomBytes(4).toString('hex');
    const id = exchangeIds(run);
    const formatOptions: LogFormatOptions = {
      id,
      time: new TimeFormatter(anchor),
      headers: include.length + exclude.length === 0 ? undefined : new HeaderSelection(include, exclude),
    };
    const { har, statistics } = this.#optional;
    const format: LogFormat =
      har === null ? new NdjsonFormat(formatOptions) : new har.HarFormat(formatOptions, packageVersion());
    this.exporter = new LogExporter(format, this.#writer, null, id);
    if (statistics !== null)
      this.#statistics = new statistics.Statistics({
        anchor,
        id,
        // Nothing is compared with another run's: any key will do.
        key: randomBytes(STATISTICS_KEY_BYTES),
        windowNs: this.#options.config.window,
      });
  }

  handshake(connection: Connection): void {
    this.#statistics!.handshake(connection);
  }

  /** Takes a call into the statistics. */
  count(x: Redacted<Exchange>): void {
    const statistics = this.#statistics!;
    const { request, response } = x;
    const at = Math.max(request?.lastByteAt ?? UNSEEN, response?.lastByteAt ?? UNSEEN);
    // Rates are over a time that begins with the first call, not with its end.
    const begin = request?.firstByteAt ?? response?.firstByteAt ?? UNSEEN;
    if (this.#last === UNSEEN && begin !== UNSEEN) statistics.tick(begin);
    if (at !== UNSEEN && at >= this.#nextTick) {
      statistics.tick(at);
      this.#nextTick = at + TICK_NS;
    }
    statistics.observe(x);
    if (at !== UNSEEN) this.#last = Math.max(this.#last, at);
  }

  /** The statistics of the whole, where they were asked for. */
  report(losses: readonly LossTotal[]): void {
    const statistics = this.#statistics;
    if (statistics === null) return;
    if (this.#last !== UNSEEN) statistics.tick(this.#last);
    statistics.finish();
    const report = statistics.report(losses);
    if (this.#options.format !== 'har') this.#writer.write(`${JSON.stringify({ type: 'report', ...report })}\n`);
    process.stderr.write(this.#optional.render!.reportText(report));
  }

  /** Resolves when the reader of the output has caught up. */
  room(): Promise<void> {
    return this.#writer.room();
  }
}
