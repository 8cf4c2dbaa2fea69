/** What is published works where it is installed: compiled, without the repository around it. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { ACK, FIN, PcapWriter, PSH, SYN } from '../fixtures/pcap/write.ts';
import { parseLog } from '../rig/agent.ts';
import { Folder } from '../rig/folder.ts';
import { when } from '../rig/need.ts';
import { must, run } from '../rig/program.ts';

const ROOT = join(import.meta.dirname, '../..');

/** One call on one connection. */
function capture(): Buffer {
  const client = { src: '192.0.2.1', dst: '192.0.2.2', sport: 40_000, dport: 80 };
  const server = { src: '192.0.2.2', dst: '192.0.2.1', sport: 80, dport: 40_000 };
  const request = 'GET /packaged HTTP/1.1\r\nHost: example.test\r\n\r\n';
  const response = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const at = (ms: number): bigint => 1_795_000_000_000_000_000n + BigInt(ms) * 1_000_000n;
  const writer = new PcapWriter();
  writer.packet({ ...client, seq: 100, flags: SYN, ts: at(0) });
  writer.packet({ ...server, seq: 500, ack: 101, flags: SYN | ACK, ts: at(1) });
  writer.packet({ ...client, seq: 101, ack: 501, flags: PSH | ACK, payload: request, ts: at(2) });
  writer.packet({ ...server, seq: 501, ack: 101 + request.length, flags: PSH | ACK, payload: response, ts: at(3) });
  writer.packet({ ...client, seq: 101 + request.length, ack: 501 + response.length, flags: FIN | ACK, ts: at(4) });
  return writer.bytes();
}

when(it, 'npm', 'bpf')('the package installs into an empty folder and runs there', { timeout: 240_000 }, async () => {
  using folder = new Folder();
  const tarball = (await must([join(ROOT, 'tools/package'), folder.path], { timeoutMs: 120_000 })).trim();
  folder.write('package.json', '{"private":true}');
  const install = ['npm', 'install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', tarball];
  await must(install, { cwd: folder.path, timeoutMs: 180_000 });

  const options = { cwd: folder.path };
  const headwater = folder.file('node_modules/.bin/headwater');
  const { version } = JSON.parse(await must(['cat', join(ROOT, 'package.json')])) as { version: string };
  expect(await must([headwater, '--version'], options)).toBe(`${version}\n`);

  writeFileSync(folder.file('call.pcap'), capture());
  const { exchanges, summary } = parseLog(await must([headwater, 'replay', 'call.pcap'], options));
  expect(exchanges).toMatchObject([
    { request: { method: 'GET', target: '/packaged' }, response: { status: 200, body_bytes: 2 }, outcome: 'complete' },
  ]);
  expect(summary).toMatchObject({ exchanges: 1, losses: [] });

  const listing = await must(['tar', 'tzf', tarball]);
  for (const part of [
    'bpf/build/headwater.x86.bpf.o',
    'bpf/build/headwater.arm64.bpf.o',
    'LICENSE',
    'docs/config.schema.json',
  ]) {
    expect(listing).toContain(`package/${part}\n`);
  }
  expect(listing).not.toMatch(/\.test\.|\.ts\n.*test/);

  // Its packages are for development: the demo says so instead of failing somewhere in the middle.
  const demo = await run([headwater, 'demo'], options);
  expect(demo.code).toBe(3);
  expect(demo.stderr).toContain('@portkey-ai/gateway');
});
