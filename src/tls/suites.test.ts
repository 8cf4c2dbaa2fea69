import { spawnSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { suiteOf } from './suites.ts';

/** What this machine's OpenSSL calls them: number and IANA name (openssl-ciphers(1), -V and -stdname). */
function known(): { id: number; name: string }[] {
  const { stdout } = spawnSync('openssl', ['ciphers', '-V', '-stdname', 'ALL:COMPLEMENTOFALL:@SECLEVEL=0'], {
    encoding: 'utf8',
  });
  return stdout
    .split('\n')
    .map((line) => /^\s*0x(\w\w),0x(\w\w) - (\S+)/.exec(line))
    .filter((found) => found !== null)
    .map(([, high, low, name]) => ({ id: Number.parseInt(`${high}${low}`, 16), name: name! }));
}

test('every suite with AES-GCM, CCM, CBC or ChaCha20 that OpenSSL has is known by its name, and can be decrypted', () => {
  const suites = known().filter(({ name }) => /AES|CHACHA20/.test(name));
  expect(suites.length).toBeGreaterThan(60);
  const others = suites
    .map(({ id, name }) => ({ id, name, ours: suiteOf(id) }))
    .filter(({ name, ours }) => ours.name !== name || ours.cipher === null)
    .map(({ id, name, ours }) => `0x${id.toString(16)} ${name}: ${ours.name}`);
  expect(others).toEqual([]);
});

test('a number that nobody gave a name is shown as the number', () => {
  expect(suiteOf(0xfeed)).toEqual({ id: 0xfeed, name: '0xfeed', cipher: null });
});
