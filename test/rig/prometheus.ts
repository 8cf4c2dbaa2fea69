/** A real Prometheus on a port of its own, with its data in a scratch folder. */
import { Folder } from './folder.ts';
import { findProgram } from './need.ts';
import { freePort } from './ports.ts';
import { Program } from './program.ts';

export interface PrometheusOptions {
  /** "address:port" of what it scrapes, once a second. */
  readonly target: string;
  /** Asks for protobuf, and keeps native histograms; else for OpenMetrics text. */
  readonly native: boolean;
  /** Further lines of its configuration. */
  readonly config?: string;
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  /** Of an instant query; [time, value]. */
  readonly value?: readonly [number, string];
  readonly histogram?: readonly [number, { count: string; sum: string; buckets: [number, string, string, string][] }];
}

export class Prometheus implements AsyncDisposable {
  readonly url: string;
  readonly program: Program;
  readonly #folder: Folder;

  private constructor(url: string, program: Program, folder: Folder) {
    this.url = url;
    this.program = program;
    this.#folder = folder;
  }

  static async start({ target, native, config = '' }: PrometheusOptions): Promise<Prometheus> {
    const folder = new Folder();
    const listen = `127.0.0.1:${await freePort()}`;
    const file = folder.write(
      'prometheus.yml',
      `global: { scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }
scrape_configs:
  - job_name: headwater
    static_configs: [{ targets: ['${target}'] }]
${config}`,
    );
    const features = native ? 'native-histograms,exemplar-storage' : 'exemplar-storage';
    const program = new Program([
      findProgram('prometheus')!,
      `--config.file=${file}`,
      `--storage.tsdb.path=${folder.file('data')}`,
      `--web.listen-address=${listen}`,
      `--enable-feature=${features}`,
      '--log.level=warn',
    ]);
    const prometheus = new Prometheus(`http://${listen}`, program, folder);
    await program.until('readiness', async () => {
      try {
        return (await fetch(`${prometheus.url}/-/ready`)).ok;
      } catch {
        return false;
      }
    });
    return prometheus;
  }

  /** `data` of an answer of its API; fails with its message. */
  async ask<T>(path: string, parameters: Readonly<Record<string, string>> = {}): Promise<T> {
    const answer = await fetch(`${this.url}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const body = (await answer.json()) as { status: string; data: T; error?: string };
    if (body.status !== 'success') throw new Error(`${path} ${JSON.stringify(parameters)}: ${body.error}`);
    return body.data;
  }

  /** An instant query, now or `at` a time (Unix s). */
  async query(query: string, at?: number): Promise<readonly Series[]> {
    const time = at === undefined ? {} : { time: String(at) };
    return (await this.ask<{ result: Series[] }>('query', { query, ...time })).result;
  }

  /** The only value of an instant query; NaN when there is not exactly one. */
  async value(query: string, at?: number): Promise<number> {
    const result = await this.query(query, at);
    return result.length === 1 ? Number(result[0]!.value?.[1]) : Number.NaN;
  }

  /** Until `query` has an answer. */
  async until(query: string): Promise<void> {
    await this.program.until(query, async () => (await this.query(query)).length > 0);
  }

  /** Waits for a scrape that began after `ms` (Unix) and went well; when it was, Unix s: asked `at` that time, all its numbers are there. */
  async scraped(ms: number): Promise<number> {
    let at = Number.NaN;
    await this.program.until('a scrape', async () => {
      at = await this.value('timestamp(headwater_build_info)');
      return at > ms / 1_000;
    });
    return at;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.program[Symbol.asyncDispose]();
    this.#folder[Symbol.dispose]();
  }
}
