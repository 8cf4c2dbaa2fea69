import { writeFileSync } from 'node:fs';
import { Folder } from '../folder.ts';
import { findProgram } from '../need.ts';
import { must, type ProgramOptions } from '../program.ts';

export interface Load extends ProgramOptions {
  readonly url: string;
  readonly seconds: number;
  readonly connections?: number;
  readonly threads?: number;
  /** Further request header fields, beside Host and a unique X-Request-Id. */
  readonly headers?: Readonly<Record<string, string>>;
}

export interface LoadResult {
  /** Answers that wrk has counted; some more may have been on their way when it stopped. */
  readonly requests: number;
  readonly seconds: number;
  readonly perSecond: number;
  readonly p99Us: number;
  readonly errors: { connect: number; read: number; write: number; status: number; timeout: number };
}

/** Runs wrk for a bounded time; every request has an id of its own: `<thread>-<number>`. */
export async function wrk(load: Load): Promise<LoadResult> {
  using folder = new Folder();
  const script = folder.file('load.lua');
  const headers = Object.entries(load.headers ?? {}).map(
    ([name, value]) => `  wrk.headers[${JSON.stringify(name)}] = ${JSON.stringify(value)}`,
  );
  writeFileSync(
    script,
    `local threads = 0
function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end
local sent = 0
function init(args)
${headers.join('\n')}
end
function request()
  sent = sent + 1
  wrk.headers["X-Request-Id"] = number .. "-" .. sent
  return wrk.format()
end
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('RESULT {"requests":%d,"us":%d,"p99":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\\n',
    summary.requests, summary.duration, latency:percentile(99), e.connect, e.read, e.write, e.status, e.timeout))
end
`,
  );
  const { connections = 8, threads = 1, seconds, url } = load;
  const command = [
    findProgram('wrk')!,
    `-t${threads}`,
    `-c${connections}`,
    `-d${seconds}s`,
    '--timeout',
    '60s',
    '-s',
    script,
    url,
  ];
  const stdout = await must(command, { ...load, timeoutMs: (seconds + 150) * 1000 });
  const line = stdout.split('\n').find((text) => text.startsWith('RESULT '));
  if (line === undefined) throw new Error(`Cannot read what wrk says: ${stdout}`);
  const { requests, us, p99, ...errors } = JSON.parse(line.slice(7));
  return { requests, seconds: us / 1e6, perSecond: (requests * 1e6) / us, p99Us: p99, errors };
}
