/** /api/v1 of a real agent with a store: pages over real calls, and SQL that tries to do more than read them. */
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';
import { Agent, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { run } from '../rig/program.ts';
import { nodeSite } from '../rig/servers/site.ts';

const CALLS = 25;
const SLOW_CLIENTS = 1_000;

/** What the agent says of its own answers. */
interface OpenApi {
  readonly paths: Readonly<
    Record<string, { get: { responses: Record<string, { content: { 'application/json': { schema: object } } }> } }>
  >;
  readonly components: object;
}

interface Page {
  readonly calls: { id: string; request: { target: string } }[];
  readonly next: string | null;
}

when(
  it,
  'root',
  'cgroup2',
  'bpf',
)('reads calls page by page, and nothing but calls', async () => {
  using data = new Folder();
  using loot = new Folder();
  await using serving = new Cgroup('api');
  await using site = await nodeSite({ cgroup: serving });
  const listen = `127.0.0.1:${await freePort()}`;
  await using agent = await Agent.start({ cgroups: [serving], data: data.path, args: ['--listen', listen] });
  for (let n = 0; n < CALLS; n++) await (await fetch(`http://127.0.0.1:${site.port}/bytes/${n}`)).arrayBuffer();
  await agent.until((exchanges) => exchanges.length === CALLS);

  const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } });
  const { paths, components } = (await (await fetch(`http://${listen}/api/v1/openapi.json`)).json()) as OpenApi;
  /** Every answer is what the document says of its path and status. */
  const ask = async <T>(
    path: string,
    parameters: Record<string, string> = {},
  ): Promise<{ status: number; body: T }> => {
    const answer = await fetch(`http://${listen}/api/v1/${path}?${new URLSearchParams(parameters)}`);
    const body = (await answer.json()) as T;
    const described = paths[`/api/v1/${path}`]!.get.responses[answer.status]!.content['application/json'].schema;
    expect(ajv.validate({ ...described, components }, body), `${path} ${ajv.errorsText()}`).toBe(true);
    return { status: answer.status, body };
  };
  // What is handed to the store is on the disk within a second or two.
  const stored = async (): Promise<number> => (await ask<Page>('calls', { limit: '100' })).body.calls?.length ?? 0;
  await agent.program.until('its calls in the store', async () => (await stored()) >= CALLS);
  expect(await stored()).toBe(CALLS);

  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { status, body }: { status: number; body: Page } = await ask<Page>('calls', {
      limit: '7',
      filter: 'response.code == 200',
      ...(cursor === '' ? {} : { cursor }),
    });
    expect(status).toBe(200);
    expect(body.calls.length).toBeLessThanOrEqual(7);
    seen.push(...body.calls.map(({ id }) => id));
    cursor = body.next;
  }
  expect(seen.toSorted()).toEqual(
    agent
      .exchanges()
      .map(({ id }) => id)
      .toSorted(),
  );
  expect((await ask('calls', { cursor: 'hostile' })).status).toBe(400);

  // The commands find the same store by the agent's socket.
  const named = [['query', '--json', '--limit', '100'], ['export']];
  for (const command of named) {
    const { code, stdout, stderr } = await run([HEADWATER, ...command, '--socket', agent.socket]);
    expect([code, stderr]).toEqual([0, '']);
    const ids = stdout
      .trimEnd()
      .split('\n')
      .map((line) => (JSON.parse(line) as { id: string }).id);
    expect(ids.toSorted()).toEqual(seen.toSorted());
  }

  // A thousand clients that never finish their request: calls are captured as before.
  const [host, port] = listen.split(':') as [string, string];
  const stalling = Array.from({ length: SLOW_CLIENTS }, () => connect(Number(port), host).on('error', () => {}));
  for (const socket of stalling) socket.write('GET /metrics HTTP/1.1\r\nHost: x\r\nX-Slow: ');
  for (let n = 0; n < CALLS; n++) await (await fetch(`http://127.0.0.1:${site.port}/bytes/${n}`)).arrayBuffer();
  await agent.until((exchanges) => exchanges.length === 2 * CALLS);
  for (const socket of stalling) socket.destroy();
  expect((await agent.status()).ledger.losses).toEqual([]);

  const target = loot.file('out.csv');
  for (const query of [
    `copy (select 1) to '${target}'`,
    "select * from read_text('/etc/hostname')",
    "select * from read_csv_auto('/etc/passwd')",
    "select * from glob('/etc/*')",
    `attach '${target}' as x`,
    'install httpfs',
    "load '/tmp/x.so'",
    'create table x as select 1',
    'drop view calls',
    'delete from calls',
    "set memory_limit = '64GB'",
    'pragma database_list',
    'select 1; select 2',
    "export database '/tmp/x'",
    "select getenv('PATH')",
    '',
    '\0',
  ]) {
    const { status, body } = await ask<{ error: { code: string; message: string } }>('sql', { query });
    expect([status, body.error?.code], query).toEqual([400, 'bad_request']);
    expect(body.error.message.length, query).toBeGreaterThan(5);
  }
  expect(existsSync(target)).toBe(false);
  // Every call so far can be read.
  expect((await agent.get('/v1/settled')).status).toBe(200);
  // What takes too long is given up, and the next question is answered.
  const slow = await ask<{ error: { code: string } }>('sql', {
    query: 'select count(*) from range(1000000000) a, range(1000000000) b where a.range * 3 = b.range * 7 + 1',
  });
  expect([504, 507]).toContain(slow.status);
  const ranges: Record<string, string>[] = [{}, { since: '1h' }, { until: '2020-01-01' }];
  for (const range of ranges) expect((await ask('report', range)).status).toBe(200);
  const count = await ask<{ rows: number[][] }>('sql', { query: 'select count(*) from calls' });
  expect(count.body.rows).toEqual([[2 * CALLS]]);
  const limited = await ask<{ rows: unknown[]; more: boolean }>('sql', {
    query: 'select * from range(50)',
    limit: '5',
  });
  expect([limited.body.rows.length, limited.body.more]).toEqual([5, true]);
});
