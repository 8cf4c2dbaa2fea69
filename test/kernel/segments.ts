/** Streams in segments of the test's own making, whose order no scheduler decides: see segments.py. */
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { makeFolder, start, whyNot } from './rig.ts';

/** Why segments cannot be sent here; "" when they can. */
export const whyNoSegments = whyNot || (existsSync('/dev/net/tun') ? '' : 'no /dev/net/tun: modprobe tun');
if (whyNot === '' && whyNoSegments !== '') process.stderr.write(`tests with segments skipped: ${whyNoSegments}\n`);

/** A segment: [from, to) of its stream. */
export type Range = readonly [from: number, to: number];

/** One connection: a stream, and its segments in the order in which they are sent. */
export interface Sending {
  readonly stream: Buffer;
  readonly segments: readonly Range[];
}

/** Shorter than what an IP packet can hold, and than half of what a server without window scaling lets go at once. */
const SEGMENT_BYTES_MAX = 16_000;

/** The stream cut at the given places, and wherever a segment would be too long; in order. */
export function cutAt(stream: Buffer, cuts: readonly number[]): Range[] {
  const ranges: Range[] = [];
  for (const [i, cut] of [...cuts, stream.length].entries())
    for (let at = cuts[i - 1] ?? 0; at < cut; at += SEGMENT_BYTES_MAX)
      ranges.push([at, Math.min(cut, at + SEGMENT_BYTES_MAX)]);
  return ranges;
}

/** The stream in segments of one size. */
export const cutEvery = (stream: Buffer, size: number): Range[] =>
  cutAt(
    stream,
    Array.from({ length: Math.ceil(stream.length / size) - 1 }, (_, i) => (i + 1) * size),
  );

/**
 * Sends each stream over a connection of its own to a server in the cgroup, one connection after another. Returns the
 * clients' ports once the server has read all and answered. `racing`: segments go two by two, from two CPUs at once. `opened`: told
 * of each connection, and of its first byte's sequence number, before that is sent.
 */
export async function sendSegments(
  cgroup: string,
  port: number,
  sendings: readonly Sending[],
  how: 'in this order' | 'racing' = 'in this order',
  opened: ((port: number, seq: number) => Promise<void>) | null = null,
): Promise<number[]> {
  const streams = [...new Set(sendings.map((s) => s.stream))];
  const file = join(makeFolder(), 'segments.json');
  const connections = sendings.map((s) => ({ stream: streams.indexOf(s.stream), segments: s.segments }));
  writeFileSync(file, JSON.stringify({ streams: streams.map((s) => s.toString('base64')), connections }));
  const args = [join(import.meta.dirname, 'segments.py'), String(port), file, how, opened === null ? '' : 'gated'];
  const child = start(cgroup, 'python3', args, 'pipe');
  const closed = once(child, 'close') as Promise<[number | null]>;
  const ports: number[] = [];
  for await (const line of createInterface(child.stdout!)) {
    const [open, of, seq] = line.split(' ');
    if (open === 'open') {
      await opened?.(Number(of), Number(seq));
      child.stdin!.write('\n');
    } else ports.push(Number(line));
  }
  const [code] = await closed;
  if (code !== 0 || ports.length !== sendings.length)
    throw new Error(`segments.py ended with ${code} after ${ports.length} of ${sendings.length} connections`);
  return ports;
}
