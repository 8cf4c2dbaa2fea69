import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { LineReader, parseFromPipeline, REQUEST_LENGTH_MAX, tupleToWire } from './protocol.ts';

const tuple = { localAddress: '127.0.0.1', localPort: 1, remoteAddress: '::1', remotePort: 65535, cgroupId: 7 };
const request = (body: object): string => JSON.stringify({ type: 'request', id: 1, ...body });

describe('parseFromPipeline', () => {
  it('takes what the protocol has, and nothing that comes with it', () => {
    expect(parseFromPipeline('{"type":"confined","x":1}')).toEqual({ type: 'confined' });
    expect(parseFromPipeline(request({ op: 'rotate', path: '/etc/passwd' }))).toEqual({
      type: 'request',
      id: 1,
      op: 'rotate',
    });
    expect(parseFromPipeline(request({ op: 'owners', tuples: [tupleToWire(tuple)] }))).toEqual({
      type: 'request',
      id: 1,
      op: 'owners',
      tuples: [tuple],
    });
    expect(parseFromPipeline(request({ op: 'processes', pids: [1, 4194304] }))).toMatchObject({ pids: [1, 4194304] });
    expect(parseFromPipeline(request({ op: 'archived', ok: false }))).toMatchObject({ ok: false });
  });

  it('makes what a failing pipeline says safe to print', () => {
    expect(parseFromPipeline(JSON.stringify({ type: 'failed', why: '\u001b[2Jx\n' }))).toEqual({
      type: 'failed',
      why: '?[2Jx?',
    });
  });

  it.each([
    request({ op: 'constructor' }),
    request({ op: 'archived' }),
    request({ op: 'owners' }),
    request({ op: 'owners', tuples: [[...tupleToWire(tuple), 1]] }),
    request({ op: 'owners', tuples: [['localhost', 1, '::1', 1, 0]] }),
    request({ op: 'owners', tuples: [['::1', -1, '::1', 1, 0]] }),
    request({ op: 'owners', tuples: [['::1', 1.5, '::1', 1, 0]] }),
    request({ op: 'owners', tuples: [['::1', 1, '::1', 1, 2 ** 60]] }),
    request({ op: 'owners', tuples: Array(65).fill(tupleToWire(tuple)) }),
    request({ op: 'processes', pids: [0] }),
    request({ op: 'processes', pids: ['1'] }),
    request({ op: 'rotate', id: -1 }),
    '{"type":"start"}',
    '[]',
    'null',
    '1',
    '',
    ' '.repeat(REQUEST_LENGTH_MAX + 1),
    '['.repeat(REQUEST_LENGTH_MAX),
  ])('refuses %s', (line) => expect(parseFromPipeline(line)).toBeNull());

  it('takes any text and any JSON without throwing', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseFromPipeline(text)));
    fc.assert(fc.property(fc.json(), (text) => void parseFromPipeline(text)));
  });
});

describe('LineReader', () => {
  it('gives the same lines however the bytes are cut', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.string({ maxLength: 20 }).map((text) => text.replaceAll('\n', '')),
          { maxLength: 10 },
        ),
        fc.integer({ min: 1, max: 7 }),
        (lines, size) => {
          const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''));
          const got: string[] = [];
          const reader = new LineReader(200);
          for (let i = 0; i < bytes.length; i += size)
            expect(reader.push(bytes.subarray(i, i + size), (line) => got.push(line))).toBe(true);
          expect(got).toEqual(lines);
        },
      ),
    );
  });

  it('stops at its bound, in one piece or in many', () => {
    expect(new LineReader(4).push(Buffer.from('12345'), () => undefined)).toBe(false);
    const reader = new LineReader(4);
    expect(reader.push(Buffer.from('1234'), () => undefined)).toBe(true);
    expect(reader.push(Buffer.from('5'), () => undefined)).toBe(false);
    expect(new LineReader(4).push(Buffer.from('1234\n5678\n'), () => undefined)).toBe(true);
  });
});
