/** The completion scripts in the shells that they are for: what is offered, as somebody who presses TAB gets it. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Folder } from '../../../test/rig/folder.ts';
import { when } from '../../../test/rig/need.ts';
import { SHELLS, type Shell } from '../flags.ts';
import { buildProgram } from '../program.ts';
import { completionScript } from './completion.ts';

const ZSH_OFFERS = join(import.meta.dirname, '../../../test/rig/zsh-offers.zsh');
let folder: Folder;
beforeAll(() => {
  folder = new Folder();
  for (const shell of SHELLS) folder.write(`headwater.${shell}`, completionScript(buildProgram(), shell));
  for (const name of ['capture.pcap', 'config.yaml']) folder.write(name, '');
  folder.write('other', '');
  execFileSync('mkdir', [folder.file('data')]);
});
afterAll(() => folder[Symbol.dispose]());

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '');

/** What each shell offers after `headwater LINE`. */
const OFFERS: Readonly<Record<Shell, (line: string) => string[]>> = {
  bash(line) {
    const words = ['headwater', ...line.split(' ')].map((word) => `'${word}'`).join(' ');
    // compopt needs a completion in progress.
    const script = `compopt() { :; }; source headwater.bash; COMP_WORDS=(${words}); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _headwater; printf '%s\\n' "\${COMPREPLY[@]}"`;
    return lines(execFileSync('bash', ['-c', script], { encoding: 'utf8', cwd: folder.path }));
  },
  fish(line) {
    const script = 'source headwater.fish; complete -C "headwater $argv[1]"';
    const out = execFileSync('fish', ['-N', '-c', script, line], {
      encoding: 'utf8',
      cwd: folder.path,
      env: { ...process.env, HOME: folder.path },
    });
    return lines(out).map((offer) => offer.split('\t')[0]!);
  },
  zsh(line) {
    const out = execFileSync('zsh', ['-f', ZSH_OFFERS, 'headwater.zsh', line], {
      encoding: 'utf8',
      cwd: folder.path,
      timeout: 200_000,
      env: { ...process.env, HOME: folder.path, TERM: 'dumb' },
    });
    return lines(out);
  },
};

const COMMANDS = buildProgram().commands.map((command) => command.name());

for (const shell of SHELLS)
  when(describe, shell)(`in ${shell}`, () => {
    const offered = (line: string): string[] =>
      [...new Set(OFFERS[shell](line))].map((word) => word.replace(/^\.\/|\/$/g, '')).sort();

    test('every command', () => {
      expect(offered('')).toEqual([...COMMANDS].sort());
    });

    test.each<[string, string[]]>([
      ['ex', ['export']],
      ['re', ['replay', 'report']],
      ['export --f', ['--filter', '--format']],
      ['export --format ', ['csv', 'har', 'ndjson', 'parquet']],
      ['replay --format h', ['har']],
      ['config ', ['check']],
      ['config check conf', ['config.yaml']],
      ['completion ', ['bash', 'fish', 'zsh']],
      ['run --data d', ['data']],
      ['replay --stats cap', ['capture.pcap']],
      ['tail --json --soc', ['--socket']],
    ])('headwater %s', (line, expected) => {
      expect(offered(line)).toEqual(expected);
    });
  });
