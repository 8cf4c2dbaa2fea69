/** Texts of a call that a filter asks about, as conditions on the store's columns. `t`: what must hold where the question is answered with true, `f`: with false. */
import { all, any, type Condition, holds, literal, type Pair, TRUE } from './condition.ts';
import { requiredBy } from './required-pieces.ts';

export interface Text {
  /** Where it does not hold the text is not there, and whatever is asked of it is an error. */
  readonly there: Condition;
  equal(value: string): Pair;
  /** `part` is not empty. */
  part(call: TextCall, part: string): Pair;
}

export type TextCall = 'startsWith' | 'endsWith' | 'contains';
const SQL_CALLS: Readonly<Record<TextCall, string>> = {
  startsWith: 'starts_with',
  endsWith: 'ends_with',
  contains: 'contains',
};
export const isTextCall = (name: string): name is TextCall => Object.hasOwn(SQL_CALLS, name);

export const matchesPattern = (text: Text, pattern: string): Pair => ({
  t: all(
    text.there,
    requiredBy(pattern, (piece, first) => text.part(first ? 'startsWith' : 'contains', piece).t),
  ),
  f: text.there,
});

/** A column, which may be NULL where nothing was seen; the method is NULL for the empty text as well. */
export const column = (sql: string): Text => ({
  there: TRUE,
  equal(value) {
    if (sql === 'method' && value === '') return { t: TRUE, f: TRUE };
    return { t: holds(`${sql} = ${literal(value)}`), f: holds(`${sql} IS DISTINCT FROM ${literal(value)}`) };
  },
  part(call, part) {
    const held = `${SQL_CALLS[call]}(${sql}, ${literal(part)})`;
    // The empty method neither begins nor ends with, nor contains anything.
    return { t: holds(held), f: holds(sql === 'method' ? `coalesce(NOT ${held}, TRUE)` : `NOT ${held}`) };
  },
});

/** The path of a target in absolute form, or of CONNECT, is not the target: such calls are let through. */
const inOriginForm = ({ t, f }: Pair): Pair => ({ t: any(OTHER_FORM, t), f: any(OTHER_FORM, f) });
const OTHER_FORM: Condition = { sql: `NOT starts_with(target, '/')`, need: { type: 'other_form' } };

const PATH = column('target');
export const path: Text = {
  there: TRUE,
  equal(value) {
    const { t, f } = PATH.equal(value);
    return inOriginForm({ t: { ...t, need: { type: 'text', text: value } }, f });
  },
  part(call, part) {
    const { t, f } = PATH.part(call, part);
    return inOriginForm({ t: { ...t, need: { type: 'piece', text: part, first: call === 'startsWith' } }, f });
  },
};

const URL_PATH = column("split_part(target, '?', 1)");
export const urlPath: Text = {
  there: TRUE,
  equal(value) {
    const { t, f } = URL_PATH.equal(value);
    return inOriginForm({ t: { ...t, need: { type: 'piece', text: value, first: true } }, f });
  },
  part(call, part) {
    const { t, f } = URL_PATH.part(call, part);
    return inOriginForm({ t: { ...t, need: { type: 'piece', text: part, first: call === 'startsWith' } }, f });
  },
};

/** What is behind the first "?" of a target: a part of it is one of the target, whose other parts are not in the query. */
export const query: Text = {
  there: TRUE,
  equal: (value) => ({ t: value === '' ? TRUE : path.part('endsWith', `?${value}`).t, f: TRUE }),
  part: (call, part) => ({
    t: path.part(call === 'endsWith' ? call : 'contains', call === 'startsWith' ? `?${part}` : part).t,
    f: TRUE,
  }),
};

type Side = 'request' | 'response';

/** A field of a message: which message, and its name in lower case as it stands in a shape. */
export interface Header {
  readonly part: Side;
  readonly name: string;
}

/** A shape is JSON text: `["name"` can stand there only where a line begins. */
export const present = ({ part, name }: Header): Condition => ({
  sql: `contains(lower(${part}_headers), ${literal(`[${JSON.stringify(name)}`)})`,
  need: { type: 'name', part, name },
});
export const absent = (header: Header): Condition => holds(`NOT ${present(header).sql}`);

/** The value of a field, or, where `there` is TRUE, of any field of the message: then nothing is known where it is not so. */
const value = (side: Side, there: Condition): Text => ({
  there,
  equal: (text) => ({ t: all(there, hasValue(side, text)), f: there }),
  part: (call, part) => ({ t: all(there, hasParts(side, part, call === 'startsWith')), f: there }),
});
export const headerValue = (header: Header): Text => value(header.part, present(header));
export const anyValue = (side: Side): Text => value(side, TRUE);

/** The name of any field of a message. */
export const anyName = (side: Side): Text => ({
  there: TRUE,
  equal: (name) => ({ t: isAscii(name) ? present({ part: side, name: name.toLowerCase() }) : TRUE, f: TRUE }),
  part(call, part) {
    if (!isAscii(part)) return { t: TRUE, f: TRUE };
    const json = JSON.stringify(part);
    const piece =
      call === 'startsWith' ? `[${json.slice(0, -1)}` : call === 'endsWith' ? json.slice(1) : json.slice(1, -1);
    return { t: holds(`contains(lower(${side}_headers), ${literal(piece)})`), f: TRUE };
  },
});

/** Beyond ASCII the two sides may disagree on what lower case is. */
export const isAscii = (name: string): boolean => /^[\x20-\x7e]+$/.test(name);

function hasValue(side: Side, text: string): Condition {
  // A field that is repeated is joined by ", ": such a value need not stand anywhere as it is.
  if (text.includes(', ')) return hasParts(side, text, true);
  return {
    sql: `(list_contains(${side}_values, ${literal(text)}) OR contains(${side}_headers, ${literal(JSON.stringify(text))}))`,
    need: { type: 'text', text },
  };
}

/** What is between commas stands in one value, wherever the values were joined; `first`: one begins with it. */
function hasParts(side: Side, text: string, first: boolean): Condition {
  const parts = text
    .split(',')
    .map((part, i) => ({ text: part.replace(/^ +/, ''), first: first && i === 0 && !part.startsWith(' ') }));
  return all(...parts.filter((part) => part.text !== '').map((part) => hasPart(side, part.text, part.first)));
}

function hasPart(side: Side, text: string, first: boolean): Condition {
  const own = `contains(array_to_string(${side}_values, chr(10)), ${literal(text)})`;
  const shared = `contains(${side}_headers, ${literal(JSON.stringify(text).slice(1, -1))})`;
  return { sql: `(${own} OR ${shared})`, need: { type: 'piece', text, first } };
}
