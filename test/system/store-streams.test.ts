/** WebSockets and event streams of real peers, asked of the store: `tail --since`, `query` and `export` tell what the log told. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { ExchangeRecord, WebSocketRecord } from '../../src/model/record.ts';
import { Agent, HEADWATER } from '../rig/agent.ts';
import { Cgroup } from '../rig/cgroup.ts';
import { Folder } from '../rig/folder.ts';
import type { Truths } from '../rig/h2/stream-peers.ts';
import { when } from '../rig/need.ts';
import { freePort } from '../rig/ports.ts';
import { must, Program, run } from '../rig/program.ts';

const PEERS = join(import.meta.dirname, '../rig/h2/stream-peers.ts');
const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');

type Line = (ExchangeRecord & { readonly upgrade?: string }) | WebSocketRecord;
const linesOf = (text: string): Line[] =>
  text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)
    .filter(({ type }) => type === 'exchange' || type === 'websocket');
/** By what a line is known by, because a call and its WebSocket may come in another order live than from the store. */
const sorted = (lines: readonly Line[]): Line[] =>
  lines.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0));
const keyOf = (line: Line): string => (line.type === 'exchange' ? line.id : `${line.exchange} websocket`);

when(
  test,
  'root',
  'cgroup2',
  'bpf',
)('calls, what WebSockets carried, and events of streams: live, from the store, and exported', async () => {
  using folder = new Folder();
  const data = folder.file('data');
  await using cgroup = new Cgroup('streams');
  await using agent = await Agent.start({ cgroups: [cgroup], data });
  const [direct, http2] = [await freePort(), await freePort()];
  // Without a proxy in between: both of the peers' plans go to the server.
  const ports = [direct, direct, http2].map(String);
  const { sessions, streams } = JSON.parse(await must([NODE, PEERS, ...ports], { cgroup })) as Truths;

  const log = (): Line[] => linesOf(readFileSync(agent.log, 'utf8'));
  const { ledger } = await agent.untilRead();
  await agent.program.until('every call in the log, and a line of each WebSocket', () => {
    const lines = log();
    const calls = lines.filter((line) => line.type === 'exchange');
    const upgraded = calls.filter(({ upgrade }) => upgrade === 'websocket');
    return calls.length === ledger.exchanges && lines.length === calls.length + upgraded.length;
  });

  await using tail = new Program([HEADWATER, 'tail', '--since', '1h', '--json', '--socket', agent.socket]);
  await tail.until('the past', () => linesOf(tail.stdout).length >= log().length);
  const followed = await tail.stop('SIGINT');
  expect([followed.code, followed.stderr]).toEqual([0, '']);

  await agent.stop();
  const logged = log();
  const calls = logged.filter((line) => line.type === 'exchange');
  const websockets = logged.filter((line) => line.type === 'websocket');
  expect(websockets.length).toBeGreaterThanOrEqual(sessions.length);
  expect(sorted(linesOf(followed.stdout))).toEqual(sorted(logged));

  const target = new Map(calls.map(({ id, request }) => [id, request?.target]));
  const stored = async (...args: string[]): Promise<Line[]> => {
    const { code, stdout, stderr } = await run([HEADWATER, ...args, '--data', data]);
    expect([code, stderr]).toEqual([0, '']);
    return linesOf(stdout);
  };
  const asked = await stored('query', '--json', '--limit', '10000');
  expect(sorted(asked)).toEqual(sorted(logged));
  const exported = await stored('export');
  expect(sorted(exported)).toEqual(sorted(logged));
  // Behind its handshake, or, newest first, before the next older call.
  for (const lines of [asked, exported])
    for (const [i, line] of lines.entries()) {
      const before = lines[i - 1];
      if (line.type === 'websocket') expect(before?.type === 'exchange' && before.id).toBe(line.exchange);
    }
  // Of long messages the kernel copies a part: a session that says so is not whole.
  const whole = exported.filter((line) => line.type === 'websocket' && line.losses.length === 0);
  expect(whole.length).toBeGreaterThan(0);
  for (const { path, client, server, code } of sessions)
    for (const line of whole) {
      if (line.type !== 'websocket' || target.get(line.exchange) !== path) continue;
      expect(line, path).toMatchObject({
        from_client: { messages: { text: client.text, binary: client.binary }, close: { code } },
        from_server: { messages: { text: server.text, binary: server.binary } },
      });
    }
  const filter = streams.map(({ path }) => `request.path == "${path}"`).join(' || ');
  const found = await stored('query', '--json', '--filter', filter);
  for (const { path, kind, events } of streams) {
    const of = found.filter((line) => line.type === 'exchange' && line.request?.target === path);
    expect(of.length, path).toBeGreaterThan(0);
    for (const line of of) expect(line, path).toMatchObject({ stream: { kind, events } });
  }
  const har = await run([HEADWATER, 'export', '--format', 'har', '--data', data]);
  const { entries } = (JSON.parse(har.stdout) as { log: { entries: readonly { request: { url: string } }[] } }).log;
  expect(entries).toHaveLength(calls.length);
});
