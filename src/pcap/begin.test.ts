import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readAll } from '../../test/fixtures/pcap/read.ts';
import { ACK, PcapWriter } from '../../test/fixtures/pcap/write.ts';
import { earliestAnchor } from './begin.ts';

let dir = '';
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'headwater-begin-'));
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const NEW = 1_795_363_445_123_456_000n;
const OLD = NEW - 400n * 86_400_000_000_000n;
const capture = (ts: bigint): PcapWriter =>
  new PcapWriter().packet({
    src: '10.0.0.1',
    dst: '10.0.0.2',
    sport: 4,
    dport: 80,
    seq: 1,
    ack: 1,
    flags: ACK,
    payload: 'x',
    ts,
  });
const file = (name: string, bytes: Buffer): string => {
  writeFileSync(join(dir, name), bytes);
  return join(dir, name);
};

it('gives times to files in any order, years apart', async () => {
  const files = [file('new', capture(NEW).bytes()), file('old', gzipSync(capture(OLD).bytes()))];
  const anchor = await earliestAnchor(files);
  const times = [];
  for (const path of files) times.push(...(await readAll(path, { anchor })).seen.map((s) => s.at));
  expect(times).toEqual(['2026-11-22T16:04:05.123456000Z', '2025-10-18T16:04:05.123456000Z']);
});

it('leaves out what has no time, or cannot be read', async () => {
  const untimed = new PcapWriter({ format: 'pcapng', block: 'simple' });
  untimed.packet({
    src: '10.0.0.1',
    dst: '10.0.0.2',
    sport: 4,
    dport: 80,
    seq: 1,
    ack: 1,
    flags: ACK,
    payload: 'x',
    ts: NEW,
  });
  const bad = [
    dir,
    join(dir, 'nothing'),
    '-',
    file('text', Buffer.from('no capture')),
    file('untimed', untimed.bytes()),
  ];
  expect(await earliestAnchor(bad)).toBeNull();
  const good = file('good', capture(NEW).bytes());
  expect(await earliestAnchor([...bad, good])).toEqual(await earliestAnchor([good]));
});
