/** What a message that is still open becomes where its direction ends, or bytes of it are lost. */
import type { Message, MessageEnd } from '../../model/message.ts';
import type { StreamEnd } from '../../model/stages.ts';

/** `message.end`, by how the direction ended; after a FIN it depends on the message. */
const ENDS = { rst: 'rst', capture_end: 'open', evicted: 'lost', vanished: 'lost' } as const;
/** `closes`: a FIN is the end of it. */
export const endOf = (how: StreamEnd, closes: boolean): MessageEnd =>
  how === 'fin' ? (closes ? 'fin' : 'short') : ENDS[how];

/** Why the rest of it is missing. */
export const GONE = { evicted: 'connection_limit', vanished: 'end_unseen' } as const;

/** It has no end of its own: the final response follows. */
export const isInterim = (message: Message): boolean =>
  message.kind === 'response' && message.status >= 100 && message.status < 200;

/** `message.end` where what is read as the message may be a body that quotes one: whether other messages were among its bytes is not known. */
export const endInDoubt = (end: MessageEnd): MessageEnd => (end === 'framed' || end === 'fin' ? 'lost' : end);
