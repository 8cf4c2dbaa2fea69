import { expect, it } from 'vitest';
import type { ProcessReport, Subject } from './facts.ts';
import { finding } from './finding.ts';
import { renderAnswer } from './render.ts';

it('fits 80 columns, and no name steers the terminal', () => {
  const cgroup = `/a/${'long '.repeat(30)}`;
  const process: ProcessReport = { pid: 7, name: 'a\u001b[2J', cgroup, sockets: null, tls: [] };
  const subject: Subject = { kind: 'pid', pid: 7, process };
  const findings = [finding('out_of_scope', 'unseen', `evil\u001b[2J ${'text '.repeat(40)}`, 'what to do '.repeat(20))];
  const text = renderAnswer(subject, findings, { width: 80, colour: false });
  expect(text).not.toContain('\u001b');
  for (const line of text.split('\n').slice(1)) expect(line.length).toBeLessThanOrEqual(80);
  expect(text).toMatch(/^not seen {5}/m);
});
