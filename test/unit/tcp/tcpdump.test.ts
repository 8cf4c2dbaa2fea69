/** Real traffic on loopback, captured by tcpdump: the streams are what the programs sent, and what tshark makes of them. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { readCapture } from '../../../src/pcap/reader.ts';
import { findProgram, when } from '../../rig/need.ts';
import { freePort } from '../../rig/ports.ts';
import { Tcpdump } from '../../rig/tcpdump.ts';
import { Rig } from './rig.ts';

// The tests are skipped without them.
const editcap = findProgram('editcap') ?? '';
const tshark = findProgram('tshark') ?? '';

/** What client and server of each connection sent. */
interface Truth {
  port: number;
  client: string;
  server: string;
}

/** A few connections, each with several turns of random sizes. */
async function talk(host: string, capture: (port: number) => Promise<Tcpdump>): Promise<Truth[]> {
  const truths: Truth[] = [];
  const answer = (socket: Socket): void => {
    socket.on('data', (data) => {
      const reply = `<${'y'.repeat(data.length * 2)}>`;
      truths.find((t) => t.port === socket.remotePort)!.server += reply;
      socket.write(reply);
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => {});
  };
  // Not one that others may be given for a connection of theirs.
  const port = await freePort();
  const server = createServer({ allowHalfOpen: true }, answer).listen(port, host);
  await once(server, 'listening');
  await using dump = await capture(port);
  try {
    for (let c = 0; c < 5; c++) {
      const socket = connect(port, host);
      await once(socket, 'connect');
      const truth: Truth = { port: socket.localPort!, client: '', server: '' };
      truths.push(truth);
      for (let turn = 0; turn < 4; turn++) {
        const text = `${c}.${turn}:${'x'.repeat((c * 7919 + turn * 104_729) % 90_000)}`;
        truth.client += text;
        const before = truth.server.length;
        let got = 0;
        const count = (data: Buffer): void => {
          got += data.length;
        };
        socket.on('data', count).write(text);
        // The server answers each piece that it reads; all of them are at least twice as long as the text.
        while (got < 2 * text.length || got < truth.server.length - before) await sleep(5);
        socket.off('data', count);
      }
      if (c === 4) socket.resetAndDestroy();
      else socket.end().resume();
      await once(socket, 'close');
    }
    await dump.stop();
  } finally {
    server.close();
  }
  return truths;
}

when(
  describe,
  'root',
  'tcpdump',
  'tshark',
  'editcap',
)('a capture of real traffic', () => {
  it.each([
    ['lo', '127.0.0.1'],
    ['lo', '::1'],
    ['any', '127.0.0.1'],
  ])('on %s, %s: gives the streams that were sent', async (device, host) => {
    const dir = mkdtempSync(join(tmpdir(), 'headwater-tcpdump-'));
    const path = join(dir, 'a.pcap');
    try {
      const truths = await talk(host, (port) => Tcpdump.start(path, { device, filter: `tcp port ${port}` }));
      const micro = join(dir, 'm.pcap');
      const ng = join(dir, 'a.pcapng');
      execFileSync(editcap, ['-F', 'pcap', path, micro]);
      execFileSync(editcap, ['-F', 'pcapng', path, ng]);
      for (const file of [path, micro, ng]) {
        const rig = new Rig({ offline: true });
        expect(await readCapture(file, rig.tracker, rig.losses)).toMatchObject({
          ok: true,
          cut: null,
          undecodable: [],
        });
        rig.tracker.finish();
        expect(rig.losses.totals()).toEqual([]);
        expect(rig.faults).toEqual([]);
        expect(rig.connections).toHaveLength(truths.length);
        for (const [i, { connection, ingress, egress }] of rig.connections.entries()) {
          const truth = truths.find((t) => t.port === connection.client.port)!;
          const [client, server] = connection.client === connection.remote ? [ingress, egress] : [egress, ingress];
          const how = i === 4 ? '$rst' : '$fin';
          expect(connection.client.address).toBe(host);
          expect(client.text === truth.client + how).toBe(true);
          expect(server.text === truth.server + how).toBe(true);
          // tshark is slow: the other formats have the same truth.
          if (file === path) expect(follow(file, i)).toEqual({ client: hex(truth.client), server: hex(truth.server) });
        }
      }
    } finally {
      rmSync(dir, { recursive: true });
    }
  });
});

const hex = (text: string): string => Buffer.from(text, 'latin1').toString('hex');

/** Both directions of a stream as tshark shows them: the server's lines begin with a tab. */
function follow(file: string, stream: number): { client: string; server: string } {
  const args = ['-r', file, '-q', '-z', `follow,tcp,raw,${stream}`];
  const out = execFileSync(tshark, args, {
    encoding: 'utf8',
    maxBuffer: 64 * 1024 * 1024,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const lines = out.split('\n').filter((l) => /^\t?[0-9a-f]+$/.test(l));
  return {
    client: lines.filter((l) => !l.startsWith('\t')).join(''),
    server: lines.flatMap((l) => (l.startsWith('\t') ? [l.slice(1)] : [])).join(''),
  };
}
