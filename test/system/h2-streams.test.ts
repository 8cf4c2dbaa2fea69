/** WebSocket and event streams of real peers, captured and replayed: the counts are those of the peers, and of tshark. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Truths } from '../rig/h2/stream-peers.ts';
import { findProgram, when } from '../rig/need.ts';
import { NetnsPair } from '../rig/netns.ts';
import { must, Program, run } from '../rig/program.ts';
import { type Replayed, replayed } from '../rig/replay.ts';
import { Tcpdump } from '../rig/tcpdump.ts';

const PEERS = join(import.meta.dirname, '../rig/h2/stream-peers.ts');
const NODE = join(import.meta.dirname, '../../node_modules/.bin/node');
const [DIRECT, PROXY, HTTP2] = [9_001, 9_002, 9_003];

async function capture(folder: string): Promise<{ said: Truths; seen: Replayed; file: string }> {
  const file = join(folder, 'streams.pcap');
  const conf = join(folder, 'nginx.conf');
  writeFileSync(
    conf,
    `daemon off; pid ${folder}/nginx.pid; error_log ${folder}/nginx.err; events {}
     http { access_log off; server { listen 127.0.0.1:${PROXY}; location / {
       proxy_pass http://127.0.0.1:${DIRECT}; proxy_http_version 1.1;
       proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; } } }`,
  );
  await using hosts = await NetnsPair.create();
  const { netns } = hosts.server;
  await using proxy = new Program([findProgram('nginx')!, '-c', conf], { netns });
  await proxy.until('listening', () =>
    run(['nsenter', `--net=/run/netns/${netns}`, 'bash', '-c', `: > /dev/tcp/127.0.0.1/${PROXY}`]).then(
      ({ code }) => code === 0,
    ),
  );
  await using dump = await Tcpdump.start(file, { filter: 'tcp', netns });
  const said = JSON.parse(await must([NODE, PEERS, `${DIRECT}`, `${PROXY}`, `${HTTP2}`], { netns })) as Truths;
  await dump.stop();
  await proxy.stop('SIGTERM');
  return { said, seen: await replayed(file), file };
}

when(
  test,
  'root',
  'netns',
  'tcpdump',
  'nginx',
  'tshark',
)('undici, node:http2 and nginx in between', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'headwater-streams-'));
  try {
    const { said, seen, file } = await capture(folder);
    expect(seen.summary.losses).toEqual([]);

    const target = new Map(seen.exchanges.map((x) => [x.id, x.request!.target]));
    for (const { path, hops, client, server, code } of said.sessions) {
      const found = seen.websockets.filter((s) => target.get(s.exchange) === path);
      expect(found.length, path).toBe(hops);
      for (const s of found) {
        expect(s, path).toMatchObject({
          end: 'closed',
          from_client: {
            messages: { text: client.text, binary: client.binary },
            close: { code },
            bytes: { unread: 0 },
          },
          from_server: { messages: { text: server.text, binary: server.binary }, pings: 1, masked: 0 },
          losses: [],
        });
        const { from_client: from, from_server: to } = s;
        expect(from.bytes.text + from.bytes.binary).toBe(client.bytes);
        expect(to.bytes.text + to.bytes.binary).toBe(server.bytes);
        expect(from.masked).toBe(from.frames);
      }
    }
    expect(seen.websockets.length).toBe(said.sessions.reduce((sum, { hops }) => sum + hops, 0));

    for (const { path, kind, events, waitNs } of said.streams) {
      const stream = seen.exchanges.find((x) => x.request?.target === path)!.stream!;
      expect(stream, path).toMatchObject({ kind, events });
      expect(stream).not.toHaveProperty('partial');
      // The server waits so long at least.
      expect(stream.first_ns).toBeGreaterThan(0.9 * waitNs);
      expect(stream.last_ns! - stream.first_ns!).toBeGreaterThan(0.9 * waitNs * (events - 1));
      expect(stream.max_gap_ns).toBeGreaterThan(0.9 * waitNs);
    }

    // Frames of HTTP/1 by opcode, as tshark reads them.
    const ports = [DIRECT, PROXY].flatMap((port) => ['-d', `tcp.port==${port},http`]);
    const fields = ['-T', 'fields', '-E', 'separator=;', '-e', 'tcp.srcport', '-e', 'websocket.opcode'];
    const rows = await must(['tshark', '-r', file, ...ports, '-Y', 'websocket', ...fields], { timeoutMs: 60_000 });
    let theirs = 0;
    for (const row of rows.trim().split('\n')) theirs += row.split(';')[1]!.split(',').length;
    const ours = seen.websockets
      .filter((s) => !target.get(s.exchange)!.startsWith('/h2/'))
      .reduce((sum, s) => sum + s.from_client.frames + s.from_server.frames, 0);
    expect(ours).toBe(theirs);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
