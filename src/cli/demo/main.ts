/**
 * `headwater demo`: a real gateway between real clients and a fake provider, in a cgroup of their own, and the agent
 * beside them. Shows both legs of each call, the ledger, and the statistics. Everything that it starts it also ends.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AddressInfo } from 'node:net';
import { connect, createServer } from 'node:net';
import { dirname, extname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { EXIT, type ExitCode, Failure, fail } from '../../base/failure.ts';
import type { ExchangeRecord, SummaryRecord } from '../../model/record.ts';
import type { AgentStatus } from '../../model/status.ts';
import { AgentClient } from '../../serve/client.ts';
import { type ShortLine, shortReport } from '../text/short-report.ts';
import { lookOf } from '../text/terminal.ts';
import { type ClientReport, calls, type LoadStep, type Ports } from './legs.ts';
import { callText, ledgerText, legend, type Page, pageOf, statisticsText } from './render.ts';
import { type Actor, Scene } from './scene.ts';

/** The demo makes its calls in about twelve seconds; whatever takes longer than this hangs. */
const TIME_LIMIT_MS = 55_000;
const READY_TIMEOUT_MS = 20_000;
/** The agent reads what is in the ring within milliseconds; this is only to let the last record settle. */
const SETTLE_MS = 300;
const PACKAGES = ['@portkey-ai/gateway', 'openai', '@anthropic-ai/sdk'];

export async function demoCommand(_options: Readonly<Record<string, never>>): Promise<ExitCode> {
  const gatewayScript = findPackages();
  const stop = new AbortController();
  const interrupted = (): void => stop.abort(new Failure(EXIT.BAD_ANSWER, 'the demo was interrupted', ''));
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted);
  const timer = setTimeout(
    () => stop.abort(new Failure(EXIT.BAD_ANSWER, 'the demo takes too long', 'is the machine very busy? try again')),
    TIME_LIMIT_MS,
  );
  try {
    await using scene = new Scene();
    const aborted = new Promise<never>((_resolve, reject) => {
      stop.signal.addEventListener('abort', () => reject(stop.signal.reason));
    });
    return await Promise.race([play(scene, gatewayScript), aborted]);
  } finally {
    clearTimeout(timer);
    process.off('SIGINT', interrupted).off('SIGTERM', interrupted);
  }
}

/** The gateway's start script; fails when a package of the demo is not there, as in an installation without them. */
function findPackages(): string {
  const require = createRequire(import.meta.url);
  const absent = PACKAGES.filter((name) => packageFolder(require, name) === null);
  if (absent.length > 0) {
    fail(
      EXIT.MACHINE,
      `the demo needs packages that are not installed: ${absent.join(', ')}`,
      'run it from a clone of the repository: npm run demo',
    );
  }
  return join(packageFolder(require, PACKAGES[0]!)!, 'build/start-server.js');
}

function packageFolder(require: NodeJS.Require, name: string): string | null {
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return dirname(require.resolve(join(folder, name, 'package.json')));
    } catch {
      // Not in this one.
    }
  }
  return null;
}

async function play(scene: Scene, gatewayScript: string): Promise<ExitCode> {
  const page = pageOf(lookOf(process.stdout, process.env));
  const say = (text: string): void => void process.stdout.write(`${text}\n`);
  const script = (name: string): string => join(import.meta.dirname, name + extname(import.meta.url));

  const provider = scene.start([process.execPath, script('provider')], { inside: true });
  const ports: Ports = { gateway: await freePort(), provider: Number(await firstLine(provider, 'the fake provider')) };
  const gateway = scene.start([process.execPath, gatewayScript, `--port=${ports.gateway}`, '--headless'], {
    inside: true,
  });
  await until(gateway, 'the gateway', () => accepts(ports.gateway));
  say(
    `A fake provider on port ${ports.provider} and Portkey's gateway on port ${ports.gateway} run in ${scene.cgroup}.`,
  );

  const log = join(scene.folder, 'headers.ndjson');
  const data = join(scene.folder, 'data');
  // Everything here is cleartext: no probe goes onto a library that the machine's other programs use too.
  const config = join(scene.folder, 'headwater.yaml');
  writeFileSync(config, 'tls:\n  secrets: false\n');
  const client = new AgentClient(join(scene.folder, 'headwater.sock'));
  const agent = scene.start(
    [
      join(import.meta.dirname, '../../../bin/headwater'),
      'run',
      '--cgroup',
      scene.cgroup,
      '--config',
      config,
      '--data',
      data,
      '--window',
      '1s',
      '--log',
      log,
      '--socket',
      client.socketPath,
    ],
    // Nothing of the demo stays: its fingerprints have a key of their own.
    { inside: false, env: { STATE_DIRECTORY: scene.folder, RUNTIME_DIRECTORY: scene.folder } },
  );
  await until(agent, 'the agent', async () => {
    const answer = await client.status({ programs: false });
    return answer.ok && answer.value.ready;
  });
  say('Headwater watches that cgroup. Nothing in it was changed, restarted or configured for it.\n');

  const urls = { GATEWAY_URL: `http://127.0.0.1:${ports.gateway}`, PROVIDER_URL: `http://127.0.0.1:${ports.provider}` };
  const reports: ClientReport[] = [];
  await played(
    'clients',
    (onLine) => scene.start([process.execPath, script('clients')], { inside: true, env: urls, onLine }),
    (line) => {
      const report = JSON.parse(line) as ClientReport;
      reports.push(report);
      say(`  ${reports.length}  ${report.title}: ${report.result}`);
    },
  );
  await sleep(SETTLE_MS);
  const shown = recordsOf(log).length;

  say('\nNow the same client in a hurry, for the statistics.');
  const steps: LoadStep[] = [];
  await played(
    'busy clients',
    (onLine) => scene.start([process.execPath, script('load')], { inside: true, env: urls, onLine }),
    (line) => {
      const step = JSON.parse(line) as LoadStep;
      steps.push(step);
      say(`  ${step.load} at a time: ${step.calls} calls`);
    },
  );
  await sleep(SETTLE_MS);

  const answer = await client.status({ programs: true });
  const agentCode = await agent.stop('SIGINT');
  if (agentCode !== 0)
    fail(EXIT.BAD_ANSWER, `the agent ended with ${agentCode ?? 'a signal'}: ${agent.output().trim()}`);
  const play: Played = { log, data, ports, reports, shown, steps, status: answer.ok ? answer.value : null };
  return await show(play, page);
}

/** Runs a process of the demo to its end. */
async function played(
  name: string,
  start: (onLine: (line: string) => void) => Actor,
  onLine: (line: string) => void,
): Promise<void> {
  const actor = start(onLine);
  const code = await actor.ended;
  if (code !== 0) fail(EXIT.BAD_ANSWER, `the demo's ${name} failed: ${actor.output().trim()}`);
}

interface Played {
  readonly log: string;
  /** Data folder of the store. */
  readonly data: string;
  readonly ports: Ports;
  readonly reports: readonly ClientReport[];
  /** The first so many records are of the calls that are shown. */
  readonly shown: number;
  readonly steps: readonly LoadStep[];
  readonly status: AgentStatus | null;
}

function linesOf(log: string): (ExchangeRecord | SummaryRecord)[] {
  return readFileSync(log, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as ExchangeRecord | SummaryRecord);
}
const recordsOf = (log: string): ExchangeRecord[] => linesOf(log).filter((line) => line.type === 'exchange');

async function show({ log, data, ports, reports, shown, steps, status }: Played, page: Page): Promise<ExitCode> {
  const records = recordsOf(log);
  const summary = linesOf(log).find((line) => line.type === 'summary');
  if (summary === undefined) fail(EXIT.BAD_ANSWER, 'the header log has no summary');
  const captured = calls(records.slice(0, shown), ports);

  process.stdout.write(`\n${legend(page)}\n\n`);
  for (const [i, call] of captured.entries()) {
    process.stdout.write(`${callText(i + 1, reports[i]?.title ?? '', call, page)}\n`);
  }
  const busyMade = steps.reduce((sum, step) => sum + step.calls, 0);
  const busyCaptured = records
    .slice(shown)
    .filter(({ side, server }) => side === 'server' && server.port === ports.gateway).length;
  const callsMade = reports.length;
  process.stdout.write(
    `${ledgerText({ summary, status, callsMade, calls: captured, busyMade, busyCaptured, records }, page)}\n`,
  );
  process.stdout.write(statisticsText(await statistics(data, ports.gateway), page));
  if (captured.length >= callsMade && busyCaptured >= busyMade) return EXIT.DONE;
  process.stderr.write(
    `headwater: captured ${captured.length + busyCaptured} of ${callsMade + busyMade} calls\n  run: headwater doctor\n`,
  );
  return EXIT.BAD_ANSWER;
}

/** From the store that the agent leaves: its last window has ended with it. */
async function statistics(data: string, port: number): Promise<ShortLine[]> {
  const [{ readStore }, { storedReport }] = await Promise.all([
    import('../../query/data.ts'),
    import('../../query/states.ts'),
  ]);
  const opened = await readStore(data);
  if (!opened.ok) fail(EXIT.BAD_ANSWER, opened.message, opened.hint);
  try {
    const report = await storedReport(opened.reader, null, null, Date.now());
    if (!report.ok) fail(EXIT.BAD_ANSWER, report.error.message);
    const gateway = report.value.services.find(
      ({ service, side }) => side === 'server' && service.endsWith(`:${port}`),
    );
    if (gateway === undefined) fail(EXIT.BAD_ANSWER, 'the statistics do not have the gateway');
    return shortReport(report.value, gateway.service, gateway.side);
  } finally {
    opened.reader.close();
  }
}

/** Waits until `ready`; fails with what the process said when it ends before. The agent's own exit code is passed on. */
async function until(actor: Actor, name: string, ready: () => Promise<boolean>): Promise<void> {
  for (const end = performance.now() + READY_TIMEOUT_MS; !(await ready()); await sleep(25)) {
    if (!actor.running()) {
      const code = (await actor.ended) === EXIT.MACHINE ? EXIT.MACHINE : EXIT.BAD_ANSWER;
      fail(
        code,
        `${name} did not start: ${actor
          .output()
          .trim()
          .replace(/^headwater: /, '')}`,
      );
    }
    if (performance.now() > end)
      fail(EXIT.BAD_ANSWER, `${name} is not ready after ${READY_TIMEOUT_MS / 1000} s: ${actor.output().trim()}`);
  }
}

async function firstLine(actor: Actor, name: string): Promise<string> {
  await until(actor, name, async () => actor.output().includes('\n'));
  return actor.output().split('\n')[0]!;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
