import { describe, expect, test } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { requestTarget } from '../../src/exchange/target.ts';
import { FieldLine, HeaderName } from '../../src/model/fields.ts';
import { Message } from '../../src/model/message.ts';

function request(method: string, target: string, host: string | null): Message {
  const m = new Message();
  m.method = method;
  m.target = target;
  m.fields.memory = Memory.alloc(0);
  if (host !== null) m.fields.push(new FieldLine(new HeaderName(1, 'host'), 'Host', host), 0, 0);
  return m;
}

describe('requestTarget', () => {
  test.each([
    ['GET', '/a/b?c=d?e', 'api.example', { scheme: 'http', authority: 'api.example', path: '/a/b', query: 'c=d?e' }],
    ['GET', '/', null, { scheme: 'http', authority: '', path: '/', query: '' }],
    ['GET', 'http://x.example:81/a?b', 'y', { scheme: 'http', authority: 'x.example:81', path: '/a', query: 'b' }],
    ['GET', 'HTTPS://u:p@x.example', 'y', { scheme: 'https', authority: 'u:p@x.example', path: '/', query: '' }],
    ['GET', 'http://x?a/b', 'y', { scheme: 'http', authority: 'x', path: '/', query: 'a/b' }],
    ['GET', 'http://', 'y', { scheme: 'http', authority: '', path: '/', query: '' }],
    ['GET', 'http:/x', 'y', { scheme: 'http', authority: 'y', path: 'http:/x', query: '' }],
    [
      'GET',
      '/redirect?to=http://evil/',
      'y',
      { scheme: 'http', authority: 'y', path: '/redirect', query: 'to=http://evil/' },
    ],
    ['GET', '//x.example/a', 'y', { scheme: 'http', authority: 'y', path: '//x.example/a', query: '' }],
    ['OPTIONS', '*', 'y', { scheme: 'http', authority: 'y', path: '*', query: '' }],
    ['CONNECT', 'x.example:443', 'y', { scheme: 'http', authority: 'x.example:443', path: '', query: '' }],
    ['GET', '', 'y', { scheme: 'http', authority: 'y', path: '', query: '' }],
  ] as const)('%s %s with Host %s', (method, target, host, parts) => {
    expect(requestTarget({ request: request(method, target, host) })).toEqual({ target, ...parts });
  });

  test('is null when the request was not seen', () => {
    expect(requestTarget({ request: null })).toBeNull();
  });
});
