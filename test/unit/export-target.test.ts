import { expect, test } from 'vitest';
import { Memory } from '../../src/base/memory.ts';
import { schemeAndAuthority } from '../../src/export/target.ts';
import { Exchange } from '../../src/model/exchange.ts';
import { FieldLine, HeaderName } from '../../src/model/fields.ts';
import { Message } from '../../src/model/message.ts';
import { KeepEverything } from '../../src/redact/policy.ts';
import { redactor } from '../../src/redact/redacted.ts';

function parts(method: string, target: string, host: string | null): object {
  const exchange = new Exchange();
  const m = new Message();
  m.method = method;
  m.target = target;
  m.fields.memory = Memory.alloc(0);
  if (host !== null) m.fields.push(new FieldLine(new HeaderName(1, 'host'), 'Host', host), 0, 0);
  exchange.request = m;
  return schemeAndAuthority(redactor(new KeepEverything())(exchange).request!);
}

test.each([
  ['GET', '/a/b?c=d?e', 'api.example', 'http', 'api.example'],
  ['GET', '/', null, 'http', ''],
  ['GET', 'http://x.example:81/a?b', 'y', 'http', 'x.example:81'],
  ['GET', 'HTTPS://u:p@x.example', 'y', 'https', 'x.example'],
  ['GET', 'http://x?a/b', 'y', 'http', 'x'],
  ['GET', 'http://', 'y', 'http', ''],
  ['GET', 'http:/x', 'y', 'http', 'y'],
  ['GET', '/redirect?to=http://evil/', 'y', 'http', 'y'],
  ['GET', '//x.example/a', 'y', 'http', 'y'],
  ['OPTIONS', '*', 'y', 'http', 'y'],
  ['CONNECT', 'x.example:443', 'y', 'http', 'x.example:443'],
  ['GET', '', 'y', 'http', 'y'],
])('%s %s with Host %s', (method, target, host, scheme, authority) => {
  expect(parts(method, target, host)).toEqual({ scheme, authority });
});
