import { execFileSync, spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { withGeneratedBlock } from '../../../test/fixtures/generated-block.ts';
import { SHELLS } from '../flags.ts';
import { buildProgram } from '../program.ts';
import { completionScript } from './completion.ts';
import { manPage } from './man.ts';
import { describeCommand, flatten } from './model.ts';
import { attributeReference, commandReference } from './reference.ts';

const commands = flatten(describeCommand(buildProgram()));
const feed = (program: string, args: readonly string[], input: string) =>
  spawnSync(program, args, { input, encoding: 'utf8' });
const has = (program: string): boolean => spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;

describe('published files are what the definitions say (vitest -u writes them)', () => {
  test.each(SHELLS)('completions/headwater.%s', async (shell) => {
    await expect(completionScript(buildProgram(), shell)).toMatchFileSnapshot(
      `../../../completions/headwater.${shell}`,
    );
  });

  test('man/headwater.1', async () => {
    await expect(manPage(buildProgram())).toMatchFileSnapshot('../../../man/headwater.1');
  });

  test('docs/cli.md', async () => {
    const file = new URL('../../../docs/cli.md', import.meta.url);
    const withCommands = withGeneratedBlock(file, 'commands', commandReference(buildProgram()));
    const attributes = /<!-- attributes[^\n]*-->\n([\s\S]*?)\n<!-- end of attributes -->/.exec(
      withGeneratedBlock(file, 'attributes', attributeReference()),
    )![1]!;
    const both = withCommands.replace(
      /(<!-- attributes[^\n]*-->\n)[\s\S]*?(\n<!-- end of attributes -->)/,
      (_, a: string, b: string) => a + attributes + b,
    );
    await expect(both).toMatchFileSnapshot('../../../docs/cli.md');
  });
});

describe('completions cover every command and option', () => {
  test('bash offers them where they belong', () => {
    const script = completionScript(buildProgram(), 'bash');
    for (const command of commands) {
      const expected = [
        ...command.commands.map((c) => c.path.at(-1)!),
        ...command.options.flatMap((o) => [o.short, o.long]).filter((f) => f !== ''),
      ];
      const offered = [...bashOffers(script, [...command.path, '']), ...bashOffers(script, [...command.path, '-'])];
      expect(new Set(offered), command.path.join(' ')).toEqual(
        new Set([...expected, ...offered.filter((o) => !o.startsWith('-') && !expected.includes(o))]),
      );
      for (const word of expected) expect(offered, command.path.join(' ')).toContain(word);
    }
  });

  test('bash offers values', () => {
    const script = completionScript(buildProgram(), 'bash');
    expect(bashOffers(script, ['replay', '--format', ''])).toEqual(['ndjson', 'har', 'summary']);
    expect(bashOffers(script, ['completion', ''])).toEqual(['bash', 'zsh', 'fish']);
    expect(bashOffers(script, ['config', 'check', './package.j'])).toEqual(['./package.json']);
    expect(bashOffers(script, ['run', '--cgroup', './sr'])).toEqual(['./src']);
    expect(bashOffers(script, ['tail', '--fi'])).toEqual(['--filter']);
  });

  test.each(['zsh', 'fish'] as const)('%s names them all', (shell) => {
    const script = completionScript(buildProgram(), shell);
    for (const command of commands) {
      for (const option of command.options) {
        expect(script).toContain(shell === 'zsh' ? `${option.long}[` : `-l ${option.long.slice(2)}`);
      }
      for (const child of command.commands) expect(script).toContain(child.path.at(-1)!);
    }
  });
});

describe('the manual page', () => {
  test('names every command and option', () => {
    const page = manPage(buildProgram()).replaceAll('\\-', '-');
    for (const command of commands.filter((c) => c.commands.length === 0)) {
      expect(page).toContain(`headwater ${command.path.join(' ')}`);
      for (const option of command.options) expect(page).toContain(option.long);
    }
  });

  test.skipIf(!has('groff'))('is clean for groff', () => {
    const run = feed('groff', ['-man', '-ww', '-Tutf8', '-z'], manPage(buildProgram()));
    expect(run.stderr).toBe('');
    expect(run.status).toBe(0);
  });
});

/** What bash would offer after `headwater WORDS`. */
function bashOffers(script: string, words: readonly string[]): string[] {
  const quoted = ['headwater', ...words].map((word) => `'${word}'`).join(' ');
  // compopt needs a completion in progress.
  const run = `compopt() { :; }\n${script}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _headwater; printf '%s\\n' "\${COMPREPLY[@]}"`;
  return execFileSync('bash', ['-c', run], { encoding: 'utf8' })
    .split('\n')
    .filter((line) => line !== '');
}
