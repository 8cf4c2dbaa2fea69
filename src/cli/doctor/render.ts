/** The doctor's page. Pure: findings and terminal in, text out. */
import { type Look, paint, safe } from '../text/terminal.ts';
import type { Distribution, Finding, Level } from './finding.ts';

export interface Section {
  readonly title: string;
  readonly findings: readonly Finding[];
}

const LEVEL_WIDTH = 8;
const CHECK_WIDTH = 18;
const COLOURS: Readonly<Record<Level, 'green' | 'yellow' | 'red'>> = { ok: 'green', warn: 'yellow', blocks: 'red' };
const NAMES: Readonly<Record<Distribution, string>> = { debian: 'Debian, Ubuntu', fedora: 'Fedora', alpine: 'Alpine' };

/** Words in lines of at most `width`, each with `indent` before it. Commands are never broken: they are copied. */
const wrap = (text: string, indent: string, width: number): string[] => {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent.length + line.length + 1 + word.length > width) {
      lines.push(indent + line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, indent + line];
};

const findingLines = (finding: Finding, distribution: Distribution | null, look: Look): string[] => {
  const indent = ' '.repeat(LEVEL_WIDTH);
  const head = wrap(safe(finding.found), ' '.repeat(LEVEL_WIDTH + CHECK_WIDTH), look.width);
  const first = (head[0] ?? '').slice(LEVEL_WIDTH + CHECK_WIDTH);
  const lines = [
    `${paint(finding.level.padEnd(LEVEL_WIDTH), COLOURS[finding.level], look)}${finding.check.padEnd(CHECK_WIDTH - 1)} ${first}`,
    ...head.slice(1),
  ];
  if (finding.meaning !== '') lines.push(...wrap(safe(finding.meaning), indent, look.width));
  const { fix } = finding;
  if (fix === null) return lines;
  const same = fix.debian === fix.fedora && fix.fedora === fix.alpine;
  if (same || distribution !== null)
    lines.push(`${indent}${paint('fix:', 'bold', look)} ${fix[distribution ?? 'debian']}`);
  else
    for (const name of Object.keys(NAMES) as Distribution[])
      lines.push(`${indent}${paint('fix', 'bold', look)} (${NAMES[name]}): ${fix[name]}`);
  return lines;
};

/** The last line of the page: what to think of it. */
export const verdict = (findings: readonly Finding[]): string => {
  const count = (level: Level): number => findings.filter((finding) => finding.level === level).length;
  const blocked = count('blocks');
  const warned = count('warn');
  const notes = warned === 0 ? '' : ` ${warned} ${warned === 1 ? 'warning' : 'warnings'}.`;
  return blocked === 0
    ? `Headwater can run here.${notes}`
    : `Headwater cannot run here: ${blocked} ${blocked === 1 ? 'check blocks' : 'checks block'}.${notes}`;
};

/** @param distribution whose commands are shown; null: all three. */
export const renderPage = (sections: readonly Section[], distribution: Distribution | null, look: Look): string => {
  const lines = sections.flatMap((section) => [
    paint(section.title, 'bold', look),
    ...section.findings.flatMap((finding) => findingLines(finding, distribution, look)),
    '',
  ]);
  return `${[...lines, ...wrap(verdict(sections.flatMap((section) => section.findings)), '', look.width)].join('\n')}\n`;
};
