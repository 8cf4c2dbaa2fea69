/** What is copied of a real download in TLS. */
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EGRESS } from '../../src/model/segment.ts';
import { selfSigned } from '../rig/tls/certificate.ts';
import { Capture, cleanUp, freePort, imbalance, makeCgroup, makeFolder, startNginx, whyNot } from './rig.ts';

let port = 0;

describe.skipIf(whyNot !== '')('a TLS download', () => {
  beforeEach(async () => {
    port = await freePort();
  });
  afterEach(cleanUp);

  // What is copied whole fits into the ring several times: nobody has to read in time.
  it.each(['--http1.1', '--http2'])('%s: all of it, as long as nobody says that it is not needed', async (offer) => {
    const SIZE = 2 << 20;
    const cgroup = makeCgroup();
    const folder = makeFolder();
    const { key, certificate } = await selfSigned(folder);
    const root = await startNginx(
      cgroup,
      port,
      `listen ${port} ssl;`,
      `ssl_certificate ${certificate}; ssl_certificate_key ${key};`,
    );
    writeFileSync(join(root, 'big'), Buffer.alloc(SIZE, 0x62));
    const capture = new Capture(cgroup);
    const curl = spawn('curl', [
      '-sk',
      '-o',
      join(folder, 'got'),
      '-w',
      '%{size_download} %{local_port}',
      `https://127.0.0.1:${port}/big`,
      offer,
    ]);
    let text = '';
    curl.stdout.on('data', (chunk) => {
      text += chunk;
    });
    await capture.during(new Promise((resolve) => curl.once('close', resolve)));
    const [size, of] = text.split(' ').map(Number) as [number, number];
    expect(size).toBe(SIZE);
    const segments = capture.of(of, EGRESS);
    const origin = segments[0]!.seq;
    const held = new Map<number, number>();
    let end = 0;
    for (const s of segments) {
      const at = (s.seq - origin) | 0;
      for (let i = 0; i < s.payload.length; i++) held.set(at + i, s.payload[i]!);
      end = Math.max(end, at + s.length);
    }
    let records = 0;
    for (let at = 0; at < end; records++) {
      for (let i = 0; i < 5; i++) expect(held.has(at + i), `header of record ${records}`).toBe(true);
      expect([20, 21, 22, 23]).toContain(held.get(at));
      at += 5 + (held.get(at + 3)! << 8) + held.get(at + 4)!;
      if (at >= end) expect(at).toBe(end);
    }
    expect(records).toBeGreaterThan(SIZE / 16_384);
    expect(end).toBeGreaterThan(SIZE);
    expect(held.size).toBe(end);
    const counters = capture.counters.read();
    expect(imbalance(counters)).toEqual({ segments: 0, bytes: 0 });
  });
});
