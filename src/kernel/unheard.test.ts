import { describe, expect, test } from 'vitest';
import type { SocketEvent } from '../model/segment.ts';
import * as abi from './abi.ts';
import { UNHEARD_BYTES, Unheard } from './unheard.ts';

const anchor = { monotonicNs: 5_000_000_000_000n, wallNs: 0n };

function made() {
  const buffer = new ArrayBuffer(UNHEARD_BYTES);
  const view = new DataView(buffer);
  const heard: string[] = [];
  const unheard = Unheard.over(buffer, anchor);
  return {
    heard,
    tell: (until: number): number =>
      unheard.tell(
        {
          segment: () => undefined,
          socket: ({ kind, flow, ts, reached, lostBytes, shed }: SocketEvent) => {
            heard.push(`${kind} ${flow} ${ts} ${reached} ${lostBytes} ${shed}`);
          },
        },
        until,
      ),
    write: (cookie: number, ts: number): void => {
      const at = (cookie & (abi.UNHEARD_MAX - 1)) * abi.SOCKET_SIZE;
      view.setBigUint64(at + abi.SOCKET_TS, anchor.monotonicNs + BigInt(ts), true);
      view.setBigUint64(at + abi.SOCKET_COOKIE, BigInt(cookie), true);
      view.setUint8(at + abi.SOCKET_KIND, abi.KIND_CLOSED);
      view.setUint8(at + abi.SOCKET_SHED, 0x31);
      view.setUint32(at + abi.SOCKET_REACHED + 4, 0xffff_fff0, true);
      view.setBigUint64(at + abi.SOCKET_LOST_BYTES, 9n, true);
    },
  };
}

describe('closings that found no room', () => {
  test('are told once each, when the ring was read as far', () => {
    const { heard, tell, write } = made();
    expect(tell(1e9)).toBe(0);
    write(3, 2e9);
    write(4, 3e9);
    write(abi.UNHEARD_MAX - 1, 2e9);
    expect(tell(2.5e9)).toBe(2);
    expect(heard).toEqual([
      `closed 3 ${2e9} 0,4294967280 9,0 1,3`,
      `closed ${abi.UNHEARD_MAX - 1} ${2e9} 0,4294967280 9,0 1,3`,
    ]);
    expect(tell(2.5e9)).toBe(0);
    expect(tell(3.5e9)).toBe(1);
    // Another connection's, at the same place.
    write(4 + abi.UNHEARD_MAX, 4e9);
    expect(tell(Number.POSITIVE_INFINITY)).toBe(1);
    expect(heard.at(-1)).toMatch(/^closed 4100 /);
  });

  test('wait while they may still be written', () => {
    const { tell, write } = made();
    write(1, 1e9);
    expect(tell(1e9 + 1e6)).toBe(0);
    expect(tell(1e9 + 2e7)).toBe(1);
  });
});
