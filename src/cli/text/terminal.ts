/** What a terminal can show. */

export interface Look {
  /** Columns; Infinity when the output is no terminal: nothing is cut there. */
  readonly width: number;
  readonly colour: boolean;
}

const WIDTH_MIN = 40;

/** Colour only on a terminal, and never when NO_COLOR is set (no-color.org). */
export function lookOf(stream: NodeJS.WriteStream, env: NodeJS.ProcessEnv): Look {
  if (stream.isTTY !== true) return { width: Number.POSITIVE_INFINITY, colour: false };
  const colour = (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb';
  return { width: Math.max(WIDTH_MIN, stream.columns || 80), colour };
}

export type Colour = 'red' | 'green' | 'yellow' | 'cyan' | 'dim' | 'bold';
const SGR: Readonly<Record<Colour, string>> = { red: '31', green: '32', yellow: '33', cyan: '36', dim: '2', bold: '1' };

export const paint = (text: string, colour: Colour, look: Look): string =>
  look.colour && text !== '' ? `\u001b[${SGR[colour]}m${text}\u001b[0m` : text;

/** Controls, C1 controls, line and paragraph separators, and what reverses the direction of text. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;

/** Text from the network or from a process name: nothing of it may steer the terminal. Controls appear as \xNN. */
export const safe = (text: string): string =>
  text.replace(UNSAFE, (c) => {
    const code = c.charCodeAt(0);
    return code < 256 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });

/** `safe` of text that has lines of its own. */
export const safeLines = (text: string): string => text.split('\n').map(safe).join('\n');

/** `text` in at most `width` characters, cut with "…". */
export function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  if (width < 1) return '';
  // Half of a surrogate pair is no character.
  const end = /[\ud800-\udbff]/.test(text.charAt(width - 2)) ? width - 2 : width - 1;
  return `${text.slice(0, end)}…`;
}

/** Exactly `width` characters (or all of it, when the width is infinite or the text longer and not to be cut). */
export const column = (text: string, width: number, look: Look): string =>
  (look.width === Number.POSITIVE_INFINITY ? text : cut(text, width)).padEnd(width);

/** `text` in lines of at most `width` characters where its words allow it; columns inside a line stay as they are. */
export function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  let rest = text;
  // Painted text is short by construction; its escapes have no width.
  while (rest.length > width && !rest.includes('\u001b')) {
    const space = rest.lastIndexOf(' ', width);
    if (space <= 0 || rest.slice(0, space).trim() === '') break;
    lines.push(rest.slice(0, space).trimEnd());
    rest = rest.slice(space + 1).trimStart();
  }
  lines.push(rest);
  return lines;
}
