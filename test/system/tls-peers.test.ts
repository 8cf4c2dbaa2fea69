/** Eight TLS servers and four clients, both versions, HTTP/1 and HTTP/2, every suite: read with the clients' key logs. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { run } from '../rig/program.ts';
import { replayed } from '../rig/replay.ts';

const script = new URL('tls/peers.sh', import.meta.url).pathname;
const idOf = (text: string | undefined): string => /\br\d+\b/.exec(text ?? '')?.[0] ?? '';

const servers = ['nginx', 'apache2', 'haproxy', 'caddy', 'python3', 'java', 'go'];
const needs = ['root', 'unshare', 'openssl', 'curl', 'tcpdump', 'tshark', ...servers];

when(test, ...needs)('every call of every pair is read, and tshark reads the same', async () => {
  using folder = new Folder();
  const inside = ['sh', '-c', 'ip link set lo up && exec "$0" "$1"', script, folder.path];
  const ended = await run(['unshare', '--net', ...inside], { timeoutMs: 280_000 });
  const asked = Number(ended.stdout.trim());
  expect(asked, ended.stderr).toBeGreaterThan(120);

  const { exchanges, summary } = await replayed(
    folder.file('capture.pcap'),
    undefined,
    readFileSync(folder.file('keys')),
  );
  const ids = Array.from({ length: asked }, (_, i) => `r${i + 1}`).sort();
  expect(exchanges.map((x) => idOf(x.request?.target)).sort()).toEqual(ids);
  for (const { request, response, outcome, losses } of exchanges) {
    const echoed = response?.headers.find(([name]) => name.toLowerCase() === 'x-id')?.[1];
    expect(idOf(echoed)).toBe(idOf(request?.target));
    expect(request?.scheme).toBe('https');
    expect(response?.status).toBe(200);
    expect([outcome, losses]).toEqual(['complete', []]);
  }
  expect(summary.losses).toEqual([]);

  const shark = await run([
    'tshark',
    '-r',
    folder.file('capture.pcap'),
    // A packet that another CPU was faster to write down: without it tshark reads nothing of that connection.
    '-o',
    'tcp.reassemble_out_of_order:TRUE',
    '-o',
    `tls.keylog_file:${folder.file('keys')}`,
    '-Y',
    'http.request or http2.headers.path',
    '-T',
    'fields',
    '-e',
    'http.request.uri',
    '-e',
    'http2.headers.path',
  ]);
  expect([...new Set(shark.stdout.match(/\br\d+\b/g))].sort()).toEqual(ids);
});
