import { EXIT } from '../../base/failure.ts';
import type { StatusFlags } from '../flags.ts';
import { statusText } from '../text/status-text.ts';
import { lookOf } from '../text/terminal.ts';
import { answered, connect } from './agent.ts';

/** `headwater status`. Asks for the kernel programs' cost too: that is measured while we wait, never otherwise. */
export async function status(flags: StatusFlags): Promise<number> {
  const client = connect(flags.socket);
  const answer = answered(client, await client.status({ programs: true }));
  const text =
    flags.json === true
      ? `${JSON.stringify(answer, null, 2)}\n`
      : statusText(answer, lookOf(process.stdout, process.env));
  process.stdout.write(text);
  return EXIT.DONE;
}
