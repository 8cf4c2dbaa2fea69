import { expect, it } from 'vitest';
import { findUser } from './users.ts';

const PASSWD = `root:x:0:0:root:/root:/bin/bash
broken
alice:x:1000:1001::/:
sneaky:x:0:5::/:
huge:x:4294967295:4294967295::/:
nobody:x:65534:65533::/:`;

it.each([
  ['alice', { name: 'alice', uid: 1000, gid: 1001 }],
  ['1000', { name: 'alice', uid: 1000, gid: 1001 }],
  ['nobody', { name: 'nobody', uid: 65534, gid: 65533 }],
])('%s', (name, user) => expect(findUser(name, PASSWD)).toEqual(user));

it.each([
  ['root', 'must not be root'],
  ['sneaky', 'must not be root'],
  ['bob', 'no such user'],
  ['huge', 'no such user'],
  ['', 'no such user'],
])('refuses %j', (name, why) => expect(String(findUser(name, PASSWD))).toContain(why));

it('knows nobody without /etc/passwd', () => expect(findUser('nobody', '')).toMatchObject({ uid: 65534, gid: 65534 }));
