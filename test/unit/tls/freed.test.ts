/** What a connection held is given back when it ends: key copies, memory for records that wait, places among those that wait. */
import { expect, test } from 'vitest';
import { type Conversation, play, recording } from './rig.ts';

const NAMES = [
  'tls13-h1',
  'tls13-key-update',
  'tls13-early-data',
  'tls13-early-refused',
  'tls13-retry',
  'tls12-gcm128',
  'tls12-cbc-sha',
  'tls12-renegotiation',
];

/** Its two ends, whatever became of the rest. */
const cutAt = ({ events }: Conversation, at: number): Conversation['events'] => {
  const ts = events.at(-1)!.ts;
  const ends = ([0, 1] as const).map((direction) => ({ what: 'end' as const, direction, how: 'rst' as const, ts }));
  return [...events.slice(0, at).filter(({ what }) => what !== 'end'), ...ends];
};

test.each(NAMES)('%s: wherever it is cut off, with all secrets, some, or none', async (name) => {
  const { conversations, keylog } = await recording(name);
  const lines = keylog.split('\n');
  const some = lines.filter((_, i) => i % 2 === 0).join('\n');
  for (const conversation of conversations) {
    for (let at = 0; at <= conversation.events.length; at++) {
      for (const known of [keylog, some, '']) {
        const { shared } = play(cutAt(conversation, at), { keylog: known });
        expect(shared.held).toBe(0);
        expect(shared.waiting.size).toBe(0);
        // Nothing but the secrets that may still be asked for.
        expect(shared.store.memory.used).toBe(shared.store.size);
      }
    }
  }
});
