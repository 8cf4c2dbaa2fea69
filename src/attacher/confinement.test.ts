import { describe, expect, it } from 'vitest';
import { confinementProblems, parseCredentials } from './confinement.ts';

const status = (changes: Record<string, string> = {}): string =>
  Object.entries({
    Name: 'node',
    Uid: '65534\t65534\t65534\t65534',
    Gid: '65534\t65534\t65534\t65534',
    Groups: ' ',
    NStgid: '5',
    CapInh: '0'.repeat(16),
    CapPrm: '0'.repeat(16),
    CapEff: '0'.repeat(16),
    CapBnd: 'f'.repeat(16),
    CapAmb: '0'.repeat(16),
    NoNewPrivs: '1',
    ...changes,
  })
    .map(([name, value]) => `${name}:\t${value}`)
    .join('\n');
const nobody = { uid: 65534, gid: 65534 };

describe('confinementProblems', () => {
  it('finds nothing wrong with a closed cage', () => {
    expect(confinementProblems([parseCredentials(status())], nobody)).toEqual([]);
  });

  it.each([
    ['Uid', '65534\t65534\t0\t65534', 'uid 65534 65534 0 65534'],
    ['Gid', '0\t0\t0\t0', 'gid 0 0 0 0'],
    ['Groups', '4 27 ', 'groups 4 27'],
    ['CapEff', '0000000000000001', 'effective capabilities 1'],
    ['CapPrm', '0000008000000000', 'permitted capabilities 8000000000'],
    ['CapInh', '0000000000000002', 'inheritable capabilities 2'],
    ['CapAmb', '0000000000000002', 'ambient capabilities 2'],
    ['CapEff', 'unreadable', 'effective capabilities -1'],
    ['NoNewPrivs', '0', 'no_new_privs is off'],
  ])('%s %j', (field, value, problem) => {
    // One bad thread among good ones is enough.
    const threads = [parseCredentials(status()), parseCredentials(status({ [field]: value }))];
    expect(confinementProblems(threads, nobody)).toEqual([problem]);
  });

  it('does not take nothing for good', () => {
    expect(confinementProblems([], nobody)).not.toEqual([]);
    expect(confinementProblems([parseCredentials('')], nobody).length).toBeGreaterThan(4);
  });

  it('without root the uid stays, the capabilities do not', () => {
    const own = status({ Uid: '1000 1000 1000 1000', Groups: '27 ' });
    expect(confinementProblems([parseCredentials(own)], null)).toEqual([]);
  });
});
