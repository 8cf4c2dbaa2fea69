/** `report` and `query` asked wrongly: what is wrong, what to do, and the exit code. */
import { chmodSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HEADWATER } from '../rig/agent.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { type Ended, run } from '../rig/program.ts';
import { NOW_MS, StoreRig } from '../unit/store-rig.ts';

const folder = new Folder();
const data = folder.file('data');
/** The minute of the store's calls. */
const boundary = new Date(Math.floor(NOW_MS / 60_000) * 60_000).toISOString();

const headwater = (...args: string[]): Promise<Ended> => run([HEADWATER, ...args], { env: { TZ: 'UTC' } });
const stored = (...args: string[]): Promise<Ended> => headwater(...args, '--data', data);

const noTime = (text: string): string =>
  `"${text}" is no time: write 2026-11-22T16:04:05Z, 2026-11-22, or 15m, 2h, 7d ago`;
const noRange = (text: string): string =>
  `option '--against <since..until>' argument '${text}' is invalid. expected SINCE..UNTIL, such as 2h..1h; one of them may be left out.`;

beforeAll(async () => {
  const rig = await new StoreRig(data).open();
  for (let i = 0; i < 20; i++) rig.call({ ordinal: i + 1, request: { target: `/${i}` } });
  await rig.tick(NOW_MS);
  await rig.close();
});
afterAll(() => folder[Symbol.dispose]());

describe('bad input: what is wrong, what to do, and the exit code', () => {
  test.each<[string, string[], string]>([
    ['no time', ['report', '--since', 'noon'], noTime('noon')],
    [
      'no zone',
      ['query', '--since', '2026-11-22T16:04:05'],
      '"2026-11-22T16:04:05" has no zone: write 2026-11-22T16:04:05Z for UTC, or 2026-11-22T16:04:05+02:00',
    ],
    ['no such day', ['report', '--until', '2026-02-30'], noTime('2026-02-30')],
    [
      'turned round',
      ['report', '--since', '2026-01-02', '--until', '2026-01-01'],
      'the range is empty: it begins at 2026-01-02T00:00:00.000Z and ends at 2026-01-01T00:00:00.000Z',
    ],
    ['no range', ['report', '--against', '2h'], noRange('2h')],
    ['a range of nothing', ['report', '--against', '..'], noRange('..')],
    ['no time in it', ['report', '--against', 'x..1h'], `--against: ${noTime('x')}`],
    ['two formats', ['report', '--json', '--markdown'], "option '--markdown' cannot be used with option '--json'"],
    [
      'limit',
      ['query', '--limit', '0'],
      "option '--limit <n>' argument '0' is invalid. expected a whole number from 1 to 99999999.",
    ],
    [
      'SQL and a filter',
      ['query', '--sql', 'SELECT 1', '--filter', 'true'],
      "option '--sql <select>' cannot be used with option '--filter <cel>'",
    ],
    ['a write', ['query', '--sql', "COPY calls TO '/tmp/x'"], 'only SELECT is allowed: the store is read-only here'],
    [
      'another file',
      ['query', '--sql', "SELECT * FROM read_csv('/etc/passwd')"],
      'read_csv() is not allowed: a query reads from calls, states, ledger, websockets',
    ],
    [
      'a file as a table',
      ['query', '--sql', "SELECT * FROM '/etc/passwd'"],
      'there is no table "/etc/passwd": a query reads from calls, states, ledger, websockets',
    ],
    ['attach', ['query', '--sql', "ATTACH '/tmp/x.db'"], 'only SELECT is allowed: the store is read-only here'],
    ['two statements', ['query', '--sql', 'SELECT 1; SELECT 2'], 'one SELECT at a time, not 2'],
    ['no SQL', ['query', '--sql', 'SELECT 1 FROM WHERE'], 'not understood: syntax error at or near "WHERE"'],
    [
      'unknown column',
      ['query', '--sql', 'SELECT nope FROM calls'],
      'Binder Error: Referenced column "nope" not found in FROM clause!',
    ],
  ])('%s', async (_name, args, message) => {
    const { code, stdout, stderr } = await stored(...args);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr.split('\n')[0]).toBe(`headwater: ${message}`);
  });

  test('folders that are no store, or a newer one', async () => {
    const newer = folder.file('newer');
    cpSync(data, newer, { recursive: true });
    writeFileSync(`${newer}/store.json`, '{"version":99}');
    const torn = folder.file('torn');
    cpSync(data, torn, { recursive: true });
    writeFileSync(`${torn}/store.json`, '{"versi');
    const cases: [string, string][] = [
      [folder.file('absent'), `there is no data folder ${folder.file('absent')}`],
      [folder.path, `${folder.path} is no data folder of headwater`],
      [folder.write('file', ''), `${folder.file('file')} is no data folder of headwater: it is a file`],
      [newer, `the store in ${newer} has version 99, this program knows versions up to 2`],
      [torn, `${torn}/store.json does not say which version the store has`],
    ];
    for (const [path, message] of cases)
      for (const command of ['report', 'query']) {
        const { code, stdout, stderr } = await headwater(command, '--data', path);
        expect([code, stdout, stderr.split('\n')[0]]).toEqual([2, '', `headwater: ${message}`]);
      }
    expect(readFileSync(`${newer}/store.json`, 'utf8')).toBe('{"version":99}');
  });

  when(
    test,
    'root',
    'readable',
  )('without permission', async () => {
    chmodSync(data, 0o700);
    const stranger = { uid: 1, gid: 1 };
    for (const command of ['report', 'query']) {
      expect(await run([HEADWATER, command, '--data', data], stranger)).toMatchObject({
        code: 3,
        stdout: '',
        stderr: `headwater: ${data} cannot be read: permission denied\n  run it as root, or as the user that owns the folder\n`,
      });
    }
  });

  test('no room for what is read of a live log', async () => {
    const nowhere = folder.file('no-tmpdir');
    for (const command of ['report', 'query'])
      expect(await run([HEADWATER, command, '--data', data], { env: { TMPDIR: nowhere } })).toMatchObject({
        code: 3,
        stdout: '',
        stderr: expect.stringContaining(`headwater: ${data} cannot be read: ENOENT at ${nowhere}/`),
      });
  });

  test('neither an agent nor a store', async () => {
    const env = { STATE_DIRECTORY: folder.file('nothing'), RUNTIME_DIRECTORY: folder.file('nothing') };
    expect(await run([HEADWATER, 'report'], { env })).toMatchObject({
      code: 3,
      stdout: '',
      stderr: `headwater: nothing is stored: there is no data folder ${folder.file('nothing')}/data\n  start an agent: headwater run; or name the folder of another one: --data DIR\n`,
    });
    const none = folder.file('none.sock');
    // An agent that is named is asked, also for what only its folder can tell: another folder's calls are not its own.
    for (const args of [[], ['--against', '2h..1h']])
      expect(await headwater('report', ...args, '--socket', none)).toMatchObject({
        code: 3,
        stderr: expect.stringContaining(`no agent is running at ${none}`),
      });
  });

  test('two ranges within one minute', async () => {
    const within = new Date(Date.parse(boundary) + 3_000).toISOString();
    expect(await stored('report', '--since', within, '--against', `${boundary}..${within}`)).toMatchObject({
      code: 2,
      stdout: '',
      stderr:
        'headwater: both ranges lie in one minute, and statistics are kept by the minute (UTC): compare ranges that are further apart\n',
    });
  });

  test('a range without calls says what there is', async () => {
    const { code, stdout, stderr } = await stored('report', '--since', '2020-01-01', '--until', '2020-01-02');
    expect([code, stdout]).toEqual([
      0,
      '2020-01-01T00:00:00.000Z to 2020-01-02T00:00:00.000Z\n\n0 calls seen in this range; lost: nothing\n',
    ]);
    expect(stderr).toMatch(/^headwater: .* holds calls from \S+Z to \S+Z\n$/);
    expect(await stored('query', '--since', '2020-01-01', '--until', '2020-01-02')).toMatchObject({
      code: 0,
      stdout: '',
    });
  });
});
