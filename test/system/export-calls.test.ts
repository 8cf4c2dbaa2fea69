/** `export` as people and scripts call it, on a store that no agent writes to. */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HEADWATER } from '../rig/agent.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { type Ended, run } from '../rig/program.ts';
import { NOW_MS, StoreRig } from '../unit/store-rig.ts';

const CALLS = 300;
const folder = new Folder();
const data = folder.file('data');
const exported = (...args: string[]): Promise<Ended> => run([HEADWATER, 'export', '--data', data, ...args]);
let rig: StoreRig;

beforeAll(async () => {
  rig = await new StoreRig(data).open();
  const headers: [string, string][] = [
    ['Host', 'api.example'],
    ['Authorization', `Bearer sk-fake-${'0'.repeat(40)}`],
  ];
  for (let i = 0; i < CALLS; i++)
    rig.call({ ordinal: i + 1, request: { target: `/${i}`, headers }, response: { status: i % 10 === 0 ? 500 : 200 } });
  await rig.tick(NOW_MS);
  await rig.close();
});
afterAll(() => folder[Symbol.dispose]());

describe('export', () => {
  test('NDJSON to standard output by default: the lines of the log, redacted', async () => {
    const { code, stdout, stderr } = await exported();
    expect([code, stderr]).toEqual([0, '']);
    const lines = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toEqual(rig.lines);
    expect(stdout).not.toContain('sk-fake');
  });

  test('a filter and a range', async () => {
    const failed = await exported('--filter', 'response.code == 500');
    expect(failed.stdout.trimEnd().split('\n')).toHaveLength(CALLS / 10);
    expect((await exported('--until', '2020-01-01')).stdout).toBe('');
    expect((await exported('--since', '2020-01-01')).stdout.trimEnd().split('\n')).toHaveLength(CALLS);
  });

  test.each(['ndjson', 'har', 'csv', 'parquet'])(
    '%s into a file that only its owner reads, written anew',
    async (format) => {
      const file = folder.write(`out.${format}`, 'x'.repeat(1 << 20));
      const { code, stdout, stderr } = await exported('--format', format, '--output', file);
      expect([code, stdout, stderr]).toEqual([0, '', `headwater: 300 calls in ${file}\n`]);
      expect(statSync(file).mode & 0o777).toBe(0o600);
      const bytes = readFileSync(file);
      if (format === 'har') expect(JSON.parse(bytes.toString()).log.entries).toHaveLength(CALLS);
      else if (format === 'parquet')
        expect([bytes.toString('latin1', 0, 4), bytes.toString('latin1', bytes.length - 4)]).toEqual(['PAR1', 'PAR1']);
      else expect(bytes.toString().trimEnd().split('\n')).toHaveLength(format === 'csv' ? CALLS + 1 : CALLS);
    },
  );

  test('| head ends quietly', async () => {
    const ended = await run(['sh', '-c', '"$0" export --data "$1" | head -n 2', HEADWATER, data]);
    expect([ended.code, ended.stdout.split('\n').length, ended.stderr]).toEqual([0, 3, '']);
  });

  const seconds = (text: string): string =>
    `option '--seconds <n>' argument '${text}' is invalid. expected a whole number from 1 to 3600.`;
  const packets = (option: string): string => `${option} is about packets: it needs --pcapng FILE`;
  test.each<[string[], string]>([
    [
      ['--format', 'xml'],
      "option '--format <format>' argument 'xml' is invalid. Allowed choices are ndjson, har, csv, parquet.",
    ],
    [['--output', ''], "option '--output <file>' argument '' is invalid. expected a path."],
    [['--output', '/nowhere/x'], 'cannot write /nowhere/x: there is no such folder'],
    [['--output', '/'], 'cannot write /: it is a folder'],
    [['--since', 'noon'], '"noon" is no time: write 2026-11-22T16:04:05Z, 2026-11-22, or 15m, 2h, 7d ago'],
    [
      ['--filter', 'response.status >= 500'],
      '--filter, column 10: unknown attribute "response.status"; did you mean "response.code"?',
    ],
    [['--seconds', '0', '--pcapng', 'x'], seconds('0')],
    [['--seconds', '9999', '--pcapng', 'x'], seconds('9999')],
    [['--seconds', '1e3', '--pcapng', 'x'], seconds('1e3')],
    [['--seconds', '5'], packets('--seconds')],
    [['--with-secrets'], packets('--with-secrets')],
    [['--socket', 'x'], "option '--socket <path>' cannot be used with option '--data <dir>'"],
    [['--pcapng', 'x'], "option '--pcapng <file>' cannot be used with option '--data <dir>'"],
    [['file'], "too many arguments for 'export'. Expected 0 arguments but got 1: file."],
  ])('%j: exit code 2, and why', async (args, message) => {
    const { code, stdout, stderr } = await exported(...args);
    expect([code, stdout, stderr.split('\n')[0]]).toEqual([2, '', `headwater: ${message}`]);
  });

  test('packets: no agent, and a place that cannot be written', async () => {
    const none = folder.file('none.sock');
    const { code, stderr } = await run([HEADWATER, 'export', '--pcapng', folder.file('x'), '--socket', none]);
    expect([code, stderr.split('\n')[0]]).toEqual([3, `headwater: no agent is running at ${none}`]);
    expect(() => statSync(folder.file('x'))).toThrow('ENOENT');
  });

  when(test, 'root')('/dev/full: the disk is full', async () => {
    const { code, stderr } = await exported('--output', '/dev/full');
    expect([code, stderr]).toEqual([3, 'headwater: cannot write /dev/full: the disk is full\n']);
  });

  test('a file that is no store', async () => {
    writeFileSync(folder.file('file'), '');
    const { code, stderr } = await run([HEADWATER, 'export', '--data', folder.file('file')]);
    expect([code, stderr]).toEqual([
      2,
      `headwater: ${folder.file('file')} is no data folder of headwater: it is a file\n`,
    ]);
  });
});
