/** The answer of `why` as text. Pure. */
import { type Colour, type Look, paint, safe } from '../text/terminal.ts';
import type { Subject } from './facts.ts';
import type { Verdict, WhyFinding } from './finding.ts';

const LABELS: Readonly<Record<Verdict, readonly [string, Colour]>> = {
  seen: ['seen', 'green'],
  partly: ['partly seen', 'yellow'],
  unseen: ['not seen', 'red'],
  unknown: ['unknown', 'cyan'],
};
const LABEL_WIDTH = 13;

const wrap = (text: string, width: number): string[] => {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line];
};

const title = (subject: Subject): string => {
  if (subject.kind === 'pid')
    return subject.process === null
      ? `process ${subject.pid}`
      : `process ${subject.pid} (${subject.process.name}, cgroup ${subject.process.cgroup || 'not known'})`;
  return subject.url === null ? `port ${subject.port}` : `${subject.url.scheme}://${subject.url.host}:${subject.port}`;
};

export const renderAnswer = (subject: Subject, findings: readonly WhyFinding[], look: Look): string => {
  const indent = ' '.repeat(LABEL_WIDTH);
  const lines = [paint(safe(title(subject)), 'bold', look)];
  for (const { verdict, text, todo } of findings) {
    const [label, colour] = LABELS[verdict];
    const [first, ...rest] = wrap(safe(text), look.width - LABEL_WIDTH);
    lines.push(`${paint(label.padEnd(LABEL_WIDTH), colour, look)}${first}`, ...rest.map((line) => indent + line));
    if (todo !== '') {
      const [begin, ...more] = wrap(safe(todo), look.width - LABEL_WIDTH - 3);
      lines.push(`${indent}-> ${begin}`, ...more.map((line) => `${indent}   ${line}`));
    }
  }
  if (findings.length === 0)
    lines.push(
      `${paint('unknown'.padEnd(LABEL_WIDTH), 'cyan', look)}The agent runs and observes it, and knows nothing of it yet.`,
    );
  return `${lines.join('\n')}\n`;
};
