/** The command line as people and scripts meet it: real processes, against the agent's real server on a socket. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { LossLedger } from '../../src/model/loss.ts';
import type { ExchangeRecord } from '../../src/model/record.ts';
import { RecordSubject } from '../../src/query/record-subject.ts';
import { apiServer } from '../../src/serve/api.ts';
import { TailHub } from '../../src/serve/tail.ts';
import { sampleRecord, sampleSource, sampleStatus } from '../fixtures/samples.ts';
import { when } from '../rig/need.ts';
import { noHistory } from '../unit/serve-rig.ts';

vi.setConfig({ testTimeout: 30_000 });
const HEADWATER = join(import.meta.dirname, '../../bin/headwater');
let folder: string;
let socket: string;
let server: Server;
const hub = new TailHub(new LossLedger());
const children = new Set<ChildProcess>();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-cli-'));
  socket = join(folder, 'agent.sock');
  server = apiServer({ status: sampleSource(), tail: hub, packets: null, why: async () => ({}), history: noHistory });
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
  while (hub.watched) await new Promise((resolve) => setTimeout(resolve, 5));
});
afterAll(() => {
  hub.close();
  server.close();
  server.closeAllConnections();
  rmSync(folder, { recursive: true, force: true });
});

interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

interface Options {
  cwd?: string;
  uid?: number;
  gid?: number;
  env?: NodeJS.ProcessEnv;
}

class Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
  stdout = '';
  stderr = '';

  constructor(command: string, args: readonly string[], options: Options = {}) {
    this.child = spawn(command, args, { ...options, env: { ...process.env, NO_COLOR: '', ...options.env } });
    children.add(this.child);
    this.child.stdout!.setEncoding('utf8').on('data', (text) => {
      this.stdout += text;
    });
    this.child.stderr!.setEncoding('utf8').on('data', (text) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) =>
      this.child.on('close', (code) => {
        children.delete(this.child);
        resolve({ code, stdout: this.stdout, stderr: this.stderr });
      }),
    );
  }

  async until(condition: () => boolean): Promise<void> {
    while (!condition() && this.child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(condition(), this.stdout + this.stderr).toBe(true);
  }
}

const headwater = (args: readonly string[], options?: Options): Promise<Ended> =>
  new Running(HEADWATER, args, options).ended;

function publish(change: Partial<ExchangeRecord> = {}): void {
  const record = sampleRecord(change);
  hub.publish(new RecordSubject(record), () => JSON.stringify(record));
}

describe('wrong usage: one line that names it, exit code 2', () => {
  test.each<[string[], string]>([
    [['bogus'], "unknown command 'bogus'"],
    [['tial'], "unknown command 'tial' (Did you mean tail?)"],
    [['help', 'bogus'], "unknown command 'bogus'"],
    [['help', 'tial'], "unknown command 'tial' (Did you mean tail?)"],
    [['help', 'config', 'chek'], "unknown command 'chek' (Did you mean check?)"],
    [['query', '--socket', 'a', '--data', 'b'], "option '--socket <path>' cannot be used with option '--data <dir>'"],
    [['run', '--foo'], "unknown option '--foo'"],
    [['tail', '--filtr', 'x'], "unknown option '--filtr' (Did you mean --filter?)"],
    [['run', 'extra'], "too many arguments for 'run'. Expected 0 arguments but got 1: extra."],
    [['replay'], "missing required argument 'file'"],
    [
      ['replay', 'x', '--format', 'xml'],
      "option '--format <format>' argument 'xml' is invalid. Allowed choices are ndjson, har, summary.",
    ],
    [
      ['run', '--listen', 'foo'],
      "option '--listen <addr:port>' argument 'foo' is invalid. expected ADDR:PORT, such as 127.0.0.1:9464.",
    ],
    [
      ['run', '--window', '5'],
      "option '--window <duration>' argument '5' is invalid. expected a duration of 1s or more, such as 60s.",
    ],
    [['tail', '--filter'], "option '--filter <cel>' argument missing"],
    [['tail', '--json', '--headers'], "option '--headers' cannot be used with option '--json'"],
    [['run', '--data', 'x', '--no-store'], "option '--data <dir>' cannot be used with option '--no-store'"],
    [['run', '--stats-only', '--log', 'x'], "option '--stats-only' cannot be used with option '--log <file>'"],
    [
      ['completion', 'tcsh'],
      "command-argument value 'tcsh' is invalid for argument 'shell'. Allowed choices are bash, zsh, fish.",
    ],
    [['tail', '--socket', ''], "option '--socket <path>' argument '' is invalid. expected a path."],
    [['run', '--cgroup', ''], "option '--cgroup <dir>' argument '' is invalid. expected a path."],
    [['config', 'check'], "missing required argument 'file'"],
    [['config', 'chek', 'x'], "unknown command 'chek' (Did you mean check?)"],
    [['run', '--config', '/nowhere.yaml'], '/nowhere.yaml: no such file'],
    [['tail', '--filter', 'true', '--filter', 'false'], "option '--filter <cel>' is given twice"],
    [['query', '--limit', '5', '--limit=7'], "option '--limit <n>' is given twice"],
    [['export', '--format', 'har', '--format', 'csv'], "option '--format <format>' is given twice"],
    [['status', '--socket', 'x'.repeat(108)], 'the path of a socket has at most 107 bytes, this one has 108'],
    [['replay', '\u001b[31mred\u202e\n'], 'cannot read \\x1b[31mred\\u202e\n: there is no such file'],
    [['tail\u001b[2J'], "unknown command 'tail\\x1b[2J'"],
  ])('%j', async (args, message) => {
    expect(await headwater(args)).toEqual({ code: 2, stdout: '', stderr: `headwater: ${message}\n` });
  });

  test('no command at all shows the help', async () => {
    const { code, stdout, stderr } = await headwater([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Usage: headwater');
  });

  test.each(['run', 'replay', 'tail'])('%s: a bad filter, with its column', async (command) => {
    const args = [
      command,
      ...(command === 'replay' ? ['x.pcap'] : []),
      ...(command === 'tail' ? ['--socket', join(folder, 'none.sock')] : []),
      '--filter',
      'response.status >= 500',
    ];
    expect(await headwater(args)).toEqual({
      code: 2,
      stdout: '',
      stderr:
        'headwater: --filter, column 10: unknown attribute "response.status"; did you mean "response.code"?\n' +
        '  response.status >= 500\n' +
        '           ^^^^^^\n',
    });
  });

  test('run: an address that others can reach, without a token', async () => {
    const { code, stderr } = await headwater(['run', '--listen', '0.0.0.0:9464']);
    expect(code).toBe(2);
    expect(stderr).toBe(
      'headwater: listen: 0.0.0.0 can be reached from other machines, so it needs a token\n' +
        '  write one to a file and name it as token_file in the configuration, or listen on 127.0.0.1\n',
    );
  });
});

describe('help, version, documents', () => {
  test.each([
    [[]],
    [['run']],
    [['replay']],
    [['tail']],
    [['report']],
    [['query']],
    [['status']],
    [['why']],
    [['doctor']],
    [['demo']],
    [['config']],
    [['config', 'check']],
    [['completion']],
    [['man']],
  ])('%j --help', async (command) => {
    const { code, stdout, stderr } = await headwater([...command, '--help']);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain(`Usage: ${['headwater', ...command].join(' ')}`);
  });

  test('help COMMAND', async () => {
    const { code, stdout } = await headwater(['help', 'tail']);
    expect([code, stdout]).toEqual([0, (await headwater(['tail', '--help'])).stdout]);
    const nested = await headwater(['help', 'config', 'check']);
    expect(nested).toEqual(await headwater(['config', 'check', '--help']));
  });

  test('--version', async () => {
    const { code, stdout } = await headwater(['--version']);
    expect([code, stdout]).toEqual([
      0,
      `${(await import('../../package.json', { with: { type: 'json' } })).default.version}\n`,
    ]);
  });

  test('man | man -l', async () => {
    const page = await headwater(['man']);
    expect(page.code).toBe(0);
    const shown = spawnSync('man', ['-l', '--warnings', '-'], {
      input: page.stdout,
      encoding: 'utf8',
      env: { ...process.env, MANWIDTH: '80' },
    });
    if (shown.error === undefined) expect([shown.status, shown.stderr]).toEqual([0, '']);
  });
});

describe('config check', () => {
  test('a good file, and every mistake of a bad one', async () => {
    const good = join(folder, 'good.yaml');
    const bad = join(folder, 'bad.yaml');
    writeFileSync(good, 'filter: response.code >= 500\n');
    writeFileSync(bad, 'capture:\n  windw: 8KiB\nlog:\n  compress: zip\n');
    expect(await headwater(['config', 'check', good])).toEqual({ code: 0, stdout: `${good}: ok\n`, stderr: '' });
    expect(await headwater(['config', 'check', bad])).toEqual({
      code: 2,
      stdout: '',
      stderr:
        `headwater: ${bad}:2:3: capture.windw: unknown key; did you mean "window"?\n` +
        `  ${bad}:4:13: log.compress: expected one of none, gzip, zstd, got "zip"; did you mean "gzip"?\n`,
    });
    expect((await headwater(['run', '--config', bad])).code).toBe(2);
  });

  test('a bad filter in it, with its place in the file', async () => {
    const file = join(folder, 'filter.yaml');
    writeFileSync(file, '# mine\nfilter: true && foo\n');
    const { code, stderr } = await headwater(['config', 'check', file]);
    expect(code).toBe(2);
    expect(stderr).toBe(
      `headwater: ${file}:2:9: filter: column 9: unknown attribute "foo"\n  true && foo\n          ^^^\n`,
    );
  });
});

describe('no agent', () => {
  test.each([['tail'], ['status']])('%s: exit code 3 and what to do', async (command) => {
    const path = join(folder, 'none.sock');
    expect(await headwater([command, '--socket', path])).toEqual({
      code: 3,
      stdout: '',
      stderr: `headwater: no agent is running at ${path}\n  start one: headwater run (another socket: --socket PATH)\n`,
    });
  });
});

describe('permissions', () => {
  const NOBODY = 65_534;
  const asNobody = { uid: NOBODY, gid: NOBODY };

  when(
    test,
    'root',
    'readable',
  )('a socket of another user', async () => {
    chmodSync(folder, 0o755);
    chmodSync(socket, 0o600);
    for (const command of ['tail', 'status']) {
      expect(await headwater([command, '--socket', socket], asNobody)).toEqual({
        code: 3,
        stdout: '',
        stderr: `headwater: no permission to use the agent's socket ${socket}\n  run this command as the user who runs the agent: sudo headwater ...\n`,
      });
    }
  });

  when(
    test,
    'root',
    'readable',
  )('a configuration that may not be read', async () => {
    const file = join(folder, 'closed.yaml');
    writeFileSync(file, '');
    chmodSync(file, 0o600);
    expect(await headwater(['config', 'check', file], asNobody)).toEqual({
      code: 2,
      stdout: '',
      stderr: `headwater: ${file}: permission denied\n`,
    });
  });
});

describe('tail', () => {
  async function tail(...args: string[]): Promise<Running> {
    const before = hub.status().viewers;
    const run = new Running(HEADWATER, ['tail', '--socket', socket, ...args], { env: { TZ: 'UTC' } });
    await run.until(() => hub.status().viewers > before);
    return run;
  }

  test('one line a call, pushed, without colour in a pipe', async () => {
    const run = await tail();
    publish();
    await run.until(() => run.stdout.endsWith('\n'));
    expect(run.stdout).toBe(
      '16:04:05.123 server  nginx.service            GET     200  1.9ms   100B/592B /v1/users/7?x=1&y=2 complete\n',
    );
    run.child.kill('SIGINT');
    expect(await run.ended).toMatchObject({ code: 0, stderr: '' });
  });

  test('--json prints the record, --headers the fields, --filter what matches', async () => {
    const json = await tail('--json');
    const headers = await tail('--headers');
    const filtered = await tail('--filter', 'response.code >= 500');
    publish();
    await json.until(() => json.stdout.endsWith('\n'));
    expect(JSON.parse(json.stdout)).toEqual(sampleRecord());
    await headers.until(() => headers.stdout.includes('< Content-Type'));
    expect(headers.stdout.split('\n').slice(1)).toEqual([
      '    > Host: api.example',
      '    > X-Request-Id: r-1',
      '    > Accept: text/html',
      '    > accept: application/json',
      '    < Content-Type: application/json',
      '',
    ]);
    publish({ response: { ...sampleRecord().response!, status: 503 } });
    await filtered.until(() => filtered.stdout.endsWith('\n'));
    expect(filtered.stdout.split('\n')).toHaveLength(2);
    expect(filtered.stdout).toContain(' 503 ');
  });

  test('nothing from the network steers the terminal', async () => {
    const run = await tail('--headers');
    const evil = '\u001b]0;owned\u0007\u009b2J\r\n\u202e';
    publish({
      service: evil,
      request: { ...sampleRecord().request!, method: evil, target: `/${evil}`, headers: [[evil, evil]] },
    });
    await run.until(() => run.stdout.includes('< Content-Type'));
    expect(run.stdout).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
    expect(run.stdout).toContain('\\x1b]0;owned\\x07\\x9b2J\\x0d\\x0a\\u202e');
  });

  test('--since, and an agent that keeps no calls', async () => {
    expect(await headwater(['tail', '--since', '1h', '--socket', socket])).toEqual({
      code: 3,
      stdout: '',
      stderr:
        'headwater: the agent refused: it keeps no calls (--no-store or stats_only), so there is nothing to begin with\n',
    });
  });

  test('ends quietly when its reader goes', async () => {
    const run = new Running('/bin/sh', [
      '-c',
      `"$0" tail --json --socket "$1" | head -n 1; echo "$?" >&2`,
      HEADWATER,
      socket,
    ]);
    await run.until(() => hub.watched);
    const timer = setInterval(() => publish(), 20);
    const { stdout, stderr } = await run.ended;
    clearInterval(timer);
    expect(stdout.split('\n')).toHaveLength(2);
    expect(stderr).toBe('0\n');
  });
});

describe('status', () => {
  test('--json is what the agent says', async () => {
    const { code, stdout } = await headwater(['status', '--json', '--socket', socket]);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(sampleStatus());
  });

  test('the ledger first: captured, lost, because', async () => {
    const { code, stdout, stderr } = await headwater(['status', '--socket', socket]);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toContain('captured 1,204,340 of 1,204,552 calls (99.98 %), lost 212, because:');
    expect(stdout).toMatch(/ring_full +212x +310\.5 KiB\n/);
    expect(stdout).toMatch(/packets_ingress +current_task +2,400,000 runs +412ns each\n/);
    expect(stdout).not.toContain('\u001b');
  });

  test('| head ends quietly', async () => {
    const run = new Running('/bin/sh', ['-c', `"$0" status --socket "$1" | head -n 1`, HEADWATER, socket]);
    expect((await run.ended).stderr).toBe('');
  });
});
