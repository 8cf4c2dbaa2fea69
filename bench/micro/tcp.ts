/**
 * What the way from a packet to its stream costs: `node bench/micro/tcp.ts`. Prints CPU nanoseconds for each segment, for
 * segments handed to the tracker (as the kernel's ring gives them) and for whole packets of a capture file.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Memory } from '../../src/base/memory.ts';
import { LossLedger } from '../../src/model/loss.ts';
import { EGRESS, INGRESS, Segment, TCP_ACK } from '../../src/model/segment.ts';
import type { CaptureSink } from '../../src/model/stages.ts';
import { readCapture } from '../../src/pcap/reader.ts';
import { ConnectionTracker } from '../../src/tcp/tracker.ts';
import { PcapWriter } from '../../test/fixtures/pcap/write.ts';

const ROUNDS = 7;
const SEGMENTS = 400_000;
const PAYLOAD = 500;

const makeTracker = (offline: boolean): ConnectionTracker => {
  const sink = { data: () => {}, gap: () => {}, end: () => {} };
  const decoder = { streams: [sink, sink] as const, tick: () => {} };
  return new ConnectionTracker({ offline, losses: new LossLedger(), decoder: () => decoder });
};

const median = (values: number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;
const print = (name: string, ns: number): void => console.log(`${name.padEnd(60)} ${ns.toFixed(0).padStart(6)} ns`);

const cpuNs = (start: NodeJS.CpuUsage): number => {
  const { user, system } = process.cpuUsage(start);
  return (user + system) * 1000;
};

/** Dialogues of one segment each way and a bare acknowledgement, in turn over all connections. */
function live(connections: number, flows: boolean): number {
  const tracker = makeTracker(!flows);
  const memory = Memory.alloc(1024 * 1024);
  const addresses = Memory.alloc(32 * connections);
  for (let c = 0; c < connections; c++) addresses.view.setUint32(c * 32 + 28, c);
  const next = [new Uint32Array(connections).fill(1), new Uint32Array(connections).fill(1)] as const;
  const s = new Segment();
  s.addresses = addresses;
  s.memory = memory;
  s.flags = TCP_ACK;
  s.captured = s.length = PAYLOAD;
  const times: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = process.cpuUsage();
    for (let i = 0; i < SEGMENTS; i++) {
      const c = (i >>> 1) % connections;
      const direction = (i & 1) === 0 ? INGRESS : EGRESS;
      s.flow = flows ? c + 1 : 0;
      s.addressesAt = c * 32;
      s.localPort = 80;
      s.remotePort = c & 0xffff;
      s.direction = direction;
      s.seq = next[direction]![c]!;
      s.ack = next[1 - direction]![c]!;
      s.ts = round * 1e9 + i * 1000;
      s.offset = (i * 512) & 0x7ffff;
      next[direction]![c] = s.seq + PAYLOAD;
      tracker.segment(s);
    }
    times.push(cpuNs(start) / SEGMENTS);
  }
  if (tracker.reassembly.delivered !== ROUNDS * SEGMENTS * PAYLOAD) throw new Error('not everything was delivered');
  return median(times);
}

async function file(format: 'pcap' | 'pcapng', sink: () => CaptureSink): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), 'headwater-bench-'));
  try {
    const writer = new PcapWriter({ format });
    const packets = 60_000;
    const payload = Buffer.alloc(PAYLOAD, 'x');
    const ends = ['192.0.2.1', '192.0.2.2'] as const;
    for (let i = 0; i < packets; i++) {
      const out = i & 1;
      const port = 10_000 + ((i >>> 1) % 32);
      const at = Math.floor(i / 64) * PAYLOAD;
      writer.packet({
        src: ends[out]!,
        dst: ends[1 - out]!,
        sport: out ? 80 : port,
        dport: out ? port : 80,
        seq: at,
        ack: out ? at + PAYLOAD : at,
        payload,
        ts: 1_795_363_445_000_000_000n + BigInt(i) * 1000n,
      });
    }
    const path = join(dir, 'bench');
    writeFileSync(path, writer.bytes());
    const times: number[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const to = sink();
      const start = process.cpuUsage();
      await readCapture(path, to, new LossLedger());
      times.push(cpuNs(start) / packets);
    }
    return median(times);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

for (const connections of [1, 32, 1000, 20_000]) {
  print(`tracker, by socket, ${connections} connections`, live(connections, true));
  print(`tracker, by addresses (file), ${connections} connections`, live(connections, false));
}
const nothing: CaptureSink = { segment: () => {}, socket: () => {} };
for (const format of ['pcap', 'pcapng'] as const) {
  print(`${format}, parsing alone`, await file(format, () => nothing));
  print(`${format}, with the tracker, 32 connections`, await file(format, () => makeTracker(true)));
}
