import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EGRESS, type Segment, SHED_HEAD, type SocketEvent } from '../model/segment.ts';
import * as abi from './abi.ts';
import { PAGE } from './libbpf.ts';
import { Ring } from './ring.ts';

const RING = 65536;
const ANCHOR = { monotonicNs: 5_000_000_000n, wallNs: 0n };

/** A ring as the kernel would map it, in an ordinary file: consumer page, producer page, data (not mapped twice). */
let folder: string;
let ringFd: number;
let controlFd: number;
let file: Buffer;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'headwater-ring-'));
  writeFileSync(join(folder, 'ring'), Buffer.alloc(2 * PAGE + 2 * RING));
  writeFileSync(join(folder, 'control'), Buffer.alloc(PAGE));
  ringFd = openSync(join(folder, 'ring'), 'r+');
  controlFd = openSync(join(folder, 'control'), 'r+');
  file = Buffer.alloc(2 * RING);
});
afterEach(() => {
  closeSync(ringFd);
  closeSync(controlFd);
  rmSync(folder, { recursive: true });
});

const open = (): Ring => {
  const ring = Ring.open({ ring: ringFd, control: controlFd, counters: -1 }, { ringBytes: RING, cpus: 1 }, ANCHOR);
  if (!ring.ok) throw new Error(ring.error.message);
  return ring.value;
};

/** Writes the data area and says that `produced` bytes of it are published. */
function publish(produced: number): void {
  writeSync(ringFd, file, 0, file.length, 2 * PAGE);
  const position = Buffer.alloc(8);
  position.writeBigUInt64LE(BigInt(produced));
  writeSync(ringFd, position, 0, 8, PAGE);
}

/** Puts a record with its header at `at`; returns where the next one goes. */
function put(at: number, record: Buffer, flags = 0): number {
  file.writeUInt32LE((record.length | flags) >>> 0, at);
  record.copy(file, at + 8);
  return (at + 8 + record.length + 7) & ~7;
}

function segmentRecord(payload: string, room: number): Buffer {
  const r = Buffer.alloc(abi.SEGMENT_SIZE + room);
  r.writeBigUInt64LE(5_000_001_500n, abi.SEGMENT_TS);
  r.writeBigUInt64LE(77n, abi.SEGMENT_COOKIE);
  r.writeUInt8(abi.KIND_SEGMENT, abi.SEGMENT_KIND);
  r.writeUInt8(abi.EGRESS, abi.SEGMENT_DIRECTION);
  r.writeUInt8(0x18, abi.SEGMENT_TCP_FLAGS);
  r.writeUInt8(abi.MARK_SHED_HEAD | abi.MARK_PART, abi.SEGMENT_MARKS);
  r.writeUInt16LE(8080, abi.SEGMENT_LOCAL_PORT);
  r.writeUInt16LE(40000, abi.SEGMENT_REMOTE_PORT);
  r.writeUInt32LE(5000, abi.SEGMENT_LENGTH);
  r.writeUInt32LE(payload.length, abi.SEGMENT_CAPTURED);
  r.writeUInt32LE(0xfffffff0, abi.SEGMENT_SEQ);
  r.writeUInt32LE(9, abi.SEGMENT_ACK);
  r.writeUInt32LE(3, abi.SEGMENT_LOST_SEGMENTS);
  r.writeBigUInt64LE(0x1_0000_0001n, abi.SEGMENT_LEFT_OUT);
  r.writeBigUInt64LE(4n, abi.SEGMENT_LOST_BYTES);
  r.write('local-address---', abi.SEGMENT_LOCAL, 'latin1');
  r.write('remote-address--', abi.SEGMENT_REMOTE, 'latin1');
  r.write(payload, abi.SEGMENT_SIZE, 'latin1');
  return r;
}

const nothing = { segment: () => {}, socket: () => {} };

describe('Ring', () => {
  it('decodes a segment record in place', () => {
    publish(put(0, segmentRecord('HTTP/1.1 200 OK', 96)));
    const ring = open();
    const seen: unknown[] = [];
    ring.drain(
      {
        segment: (s: Segment) => {
          const { ts, flow, direction, flags, localPort, remotePort, length, captured, seq, ack } = s;
          const { leftOut, lostBytes, lostSegments, shed } = s;
          const text = s.memory.buf.latin1Slice(s.offset, s.offset + s.captured);
          const addresses = s.addresses.buf.latin1Slice(s.addressesAt, s.addressesAt + 32);
          seen.push({
            ts,
            flow,
            direction,
            flags,
            localPort,
            remotePort,
            length,
            captured,
            seq,
            ack,
            leftOut,
            lostBytes,
            lostSegments,
            shed,
            text,
            addresses,
          });
        },
        socket: () => {},
      },
      10,
    );
    expect(seen).toEqual([
      {
        ts: 1500,
        flow: 77,
        direction: EGRESS,
        flags: 0x18,
        localPort: 8080,
        remotePort: 40000,
        length: 5000,
        captured: 15,
        seq: 0xfffffff0,
        ack: 9,
        leftOut: 0x1_0000_0001,
        lostBytes: 4,
        lostSegments: 3,
        shed: SHED_HEAD,
        text: 'HTTP/1.1 200 OK',
        addresses: 'local-address---remote-address--',
      },
    ]);
    expect(ring.used).toBe(0);
    ring.close();
  });

  it('decodes socket records', () => {
    const r = Buffer.alloc(abi.SOCKET_SIZE);
    r.writeUInt8(abi.KIND_OWNER, abi.SOCKET_KIND);
    r.writeUInt8(abi.EVIDENCE_WRITER, abi.SOCKET_EVIDENCE);
    r.writeUInt32LE(4242, abi.SOCKET_PID);
    r.write('nginx', abi.SOCKET_COMM, 'latin1');
    r.writeBigUInt64LE(519n, abi.SOCKET_CGROUP_ID);
    r.writeBigUInt64LE(10n, abi.SOCKET_LEFT_OUT + 8);
    publish(put(0, r));
    const seen: unknown[] = [];
    open().drain(
      {
        segment: () => {},
        socket: ({ kind, pid, comm, evidence, cgroupId, leftOut }: SocketEvent) => {
          seen.push({ kind, pid, comm, evidence, cgroupId, leftOut: [...leftOut] });
        },
      },
      10,
    );
    expect(seen).toEqual([
      { kind: 'owner', pid: 4242, comm: 'nginx', evidence: 'writer', cgroupId: 519, leftOut: [0, 10] },
    ]);
  });

  it('stops at a record that is being written, skips a discarded one, and keeps to its limit', () => {
    let at = put(0, segmentRecord('a', 96));
    at = put(at, segmentRecord('b', 96), 0x4000_0000);
    at = put(at, segmentRecord('c', 96));
    at = put(at, segmentRecord('d', 96));
    const busy = at;
    at = put(at, segmentRecord('e', 96), 0x8000_0000);
    publish(at);
    const ring = open();
    const seen: string[] = [];
    const sink = {
      ...nothing,
      segment: (s: Segment) => void seen.push(s.memory.buf.latin1Slice(s.offset, s.offset + 1)),
    };
    expect(ring.drain(sink, 2)).toBe(2);
    expect(ring.drain(sink, 10)).toBe(1);
    expect(seen).toEqual(['a', 'c', 'd']);
    expect(ring.used).toBe(at - busy);
  });

  it('counts what is no record of ours and goes on behind it', () => {
    const lying = segmentRecord('x', 96);
    lying.writeUInt32LE(4000, abi.SEGMENT_CAPTURED);
    const strange = Buffer.alloc(200);
    strange.writeUInt8(99, abi.SEGMENT_KIND);
    let at = put(0, lying);
    at = put(at, strange);
    at = put(at, Buffer.alloc(16));
    publish(put(at, segmentRecord('good', 96)));
    const ring = open();
    let seen = 0;
    ring.drain({ ...nothing, segment: () => void seen++ }, 10);
    expect(seen).toBe(1);
    expect(ring.malformed).toBe(3);
  });

  it('never throws, never reads outside, and always ends, whatever the memory holds', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 0, maxLength: 4096 }), fc.nat(RING), (bytes, produced) => {
        file.fill(0);
        Buffer.from(bytes).copy(file);
        publish(produced & ~7);
        writeSync(ringFd, Buffer.alloc(8), 0, 8, 0);
        const ring = open();
        ring.drain(
          {
            segment: (s) => {
              expect(s.offset + s.captured).toBeLessThanOrEqual(s.memory.size);
              expect(s.captured).toBeLessThanOrEqual(s.length);
            },
            socket: () => {},
          },
          RING,
        );
        ring.close();
      }),
      { numRuns: 300 },
    );
  });
});
