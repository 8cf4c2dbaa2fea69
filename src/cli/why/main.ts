/** `headwater why PID|PORT|URL`: what is seen of it, what not and the reason, what to do. */
import { HostFiles } from '../../attacher/host.ts';
import { EXIT, fail } from '../../base/failure.ts';
import { defaultSocketPath } from '../../config/paths.ts';
import type { WhyState } from '../../model/why.ts';
import { connect } from '../commands/agent.ts';
import { lookOf } from '../text/terminal.ts';
import { explain } from './explain.ts';
import type { AgentFacts, Subject } from './facts.ts';
import { gather } from './gather.ts';
import { renderAnswer } from './render.ts';
import { parseTarget } from './target.ts';

export interface WhyFlags {
  readonly json?: true;
  readonly socket?: string;
}

const askAgent = async (socket: string, pids: readonly number[]): Promise<AgentFacts> => {
  const answer = await connect(socket).why<WhyState>(pids);
  if (answer.ok) return { state: 'running', live: answer.value };
  switch (answer.kind) {
    case 'absent':
    case 'denied':
      return { state: answer.kind, socket };
    case 'broken':
    case 'refused':
      return { state: 'broken', message: answer.message };
    case 'bad_filter':
      return { state: 'broken', message: 'it speaks another version' };
  }
};

const pidsOf = (subject: Subject): number[] =>
  subject.kind === 'pid' ? [subject.pid] : [...subject.servers, ...subject.clients].map(({ pid }) => pid);

/** Prints the answer. Resolves to the exit code: 1 when nothing of it is seen. */
export async function whyCommand(text: string, { json, socket }: WhyFlags): Promise<number> {
  const target = parseTarget(text);
  if (target === null) {
    fail(
      EXIT.USAGE,
      `Cannot read ${JSON.stringify(text)} as a process id, a port or a URL.`,
      'for example: headwater why 4711, headwater why :8080, headwater why http://127.0.0.1:8080/',
    );
  }
  const host = new HostFiles();
  const subjects = await gather(host, target);
  const root = process.geteuid?.() === 0;
  const hidden = !root && host.read('/proc/1/comm') === null;
  const agent = await askAgent(socket ?? defaultSocketPath(), subjects.flatMap(pidsOf));
  const answers = subjects.map((subject) => ({
    subject,
    findings: explain({ agent, subject, root, hidden }),
  }));
  const look = lookOf(process.stdout, process.env);
  process.stdout.write(
    json === true
      ? `${JSON.stringify({ target: text, answers }, null, 2)}\n`
      : answers.map(({ subject, findings }) => renderAnswer(subject, findings, look)).join('\n'),
  );
  const seen = answers.some(({ findings }) =>
    findings.some(({ verdict }) => verdict === 'seen' || verdict === 'partly'),
  );
  return seen ? EXIT.DONE : EXIT.BAD_ANSWER;
}
