/** Conversations as capture files, through the whole of `replay`: what the log says of each, line by line. */
import { describe, expect, test } from 'vitest';
import { Talk } from '../fixtures/pcap/talk.ts';
import { type Replayed, type ReplayedExchange, replayed } from '../rig/replay.ts';

const get = (target: string, more = ''): string => `GET ${target} HTTP/1.1\r\nHost: a\r\n${more}\r\n`;
const ok = (body: string, more = ''): string =>
  `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n${more}\r\n${body}`;

/** "GET /1 > 200 5 complete": body sizes where there are any, then what is wrong. */
function line({ request, response, outcome, anomalies, losses }: ReplayedExchange): string {
  const asked = request === null ? '-' : `${request.method} ${request.target}${size(request.body_bytes)}`;
  const answered = response === null ? '-' : `${response.status}${size(response.body_bytes)}`;
  const marks = [...(anomalies ?? []), ...losses.map(({ reason, bytes }) => `${reason}:${bytes}`)];
  return [asked, '>', answered, outcome, ...marks].join(' ');
}
const size = (bytes: number): string => (bytes === 0 ? '' : ` ${bytes}`);

const lines = ({ exchanges }: Replayed): string[] => exchanges.map(line);
const opened = (): Talk => new Talk().open();

describe('a connection whose opening was seen', () => {
  test('begins with its first byte: lines that end with LF alone are read', async () => {
    const talk = opened().client('GET / HTTP/1.1\nHost: a\n\n').server('HTTP/1.1 200 OK\nContent-Length: 2\n\nab');
    const said = await replayed(talk.close().bytes());
    expect(lines(said)).toEqual(['GET / > 200 2 complete bare_lf']);
    expect(said.summary.losses).toEqual([]);
  });

  test('and no byte of another protocol on it is a loss', async () => {
    const said = await replayed(
      opened().server('220 mail\r\n').client('EHLO x\r\n').server('250 x\r\n').close().bytes(),
    );
    expect(said.summary).toMatchObject({ segments: 3, bytes: 25, connections: 1, exchanges: 0, losses: [] });
    expect(said.notHttp.other).toBe(25);
  });
});
