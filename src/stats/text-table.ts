/** Tables as text for a terminal of any width, and as Markdown. */

export type Cells = readonly string[];
export interface Table {
  readonly title: string;
  readonly head: Cells;
  /** Columns that are numbers stand to the right. */
  readonly numeric: readonly boolean[];
  readonly rows: readonly Cells[];
  /** Columns that a narrow terminal does without, the first one first. */
  readonly spare?: readonly string[];
  /** Sentences below it. */
  readonly notes?: readonly string[];
}

/** In at most `columns`. */
export function textTable(table: Table, columns: number): string {
  const { title, head, numeric, rows, notes = [] } = fitted(table, columns);
  const width = widths(head, rows);
  const line = (cells: Cells): string =>
    cells
      .map((cell, i) => (numeric[i] ? cell.padStart(width[i]!) : cell.padEnd(width[i]!)))
      .join(GAP)
      .trimEnd();
  return [title, line(head), ...rows.map(line), ...notes.flatMap((note) => wrapped(note, columns))].join('\n');
}

const GAP = '  ';
/** What a text column keeps before another column goes, and when nothing else helps. */
const TEXT_MIN = 14;
const TEXT_LEAST = 6;
/** Names that differ at their end as often as at their beginning, a port or the last part of a path: they are cut in the middle. */
const NAMES: ReadonlySet<string> = new Set(['service', 'route', 'name', 'where']);
/** Times: half of one says nothing. */
const WHOLE: ReadonlySet<string> = new Set(['first']);
const ELLIPSIS = '...';

const widths = (head: Cells, rows: readonly Cells[]): number[] =>
  head.map((name, i) => rows.reduce((most, row) => Math.max(most, row[i]!.length), name.length));

/** The table in at most `columns`: what is the same in each row is said once, texts are cut, then columns go that can be spared, and the title says which. */
function fitted(table: Table, columns: number): Table {
  if (columns === Number.POSITIVE_INFINITY) return table;
  const gone: string[] = [];
  const spare = [...(table.spare ?? [])];
  let least = TEXT_MIN;
  const whole = ofOneService(table);
  for (let now = narrowed(whole, columns, Number.POSITIVE_INFINITY) === null ? ofOneSide(whole) : whole; ; ) {
    const cut = narrowed(now, columns, least);
    if (cut !== null) {
      const title = gone.length === 0 ? now.title : `${now.title} (not shown here: ${gone.join(', ')})`;
      return { ...cut, title: wrapped(title, columns).join('\n') };
    }
    const name = spare.shift();
    if (name !== undefined) {
      gone.push(name);
      now = without(now, name);
    } else if (least > TEXT_LEAST) least = TEXT_LEAST;
    else return now;
  }
}

/** A column that says the same in each row is said once. */
function ofOneService(table: Table): Table {
  const at = table.head.indexOf('service');
  const services = new Set(at < 0 ? [] : table.rows.map((row) => row[at]!).filter((name) => name !== ''));
  if (services.size !== 1 || table.rows.length < 2) return table;
  return { ...without(table, 'service'), title: `${table.title}: ${[...services][0]}` };
}

/** "api (server)", where all are seen on the server side: the name is what tells one from another. */
function ofOneSide(table: Table): Table {
  const at = table.head.indexOf('service');
  const sides = new Set(table.rows.map((row) => / \((server|client)\)$/.exec(row[at] ?? '')?.[1]));
  if (table.rows.some((row) => row[at] === '')) sides.delete(undefined);
  const [side] = sides;
  if (sides.size !== 1 || side === undefined) return table;
  const end = ` (${side})`;
  const rows = table.rows.map((row) =>
    row.map((cell, i) => (i === at && cell !== '' ? cell.slice(0, -end.length) : cell)),
  );
  return { ...table, rows, title: `${table.title}, ${side} side` };
}

function without(table: Table, name: string): Table {
  const at = table.head.lastIndexOf(name);
  const keep = <T>(cells: readonly T[]): T[] => cells.filter((_, i) => i !== at);
  return { ...table, head: keep(table.head), numeric: keep(table.numeric), rows: table.rows.map(keep) };
}

/** Cuts the widest texts until the table fits; null: it does not with texts of `least`. */
function narrowed(table: Table, columns: number, least: number): Table | null {
  const width = widths(table.head, table.rows);
  let over = width.reduce((sum, w) => sum + w, 0) + GAP.length * (width.length - 1) - columns;
  if (over <= 0) return table;
  const floor = table.head.map((name, i) =>
    table.numeric[i] || WHOLE.has(name) ? width[i]! : Math.min(width[i]!, Math.max(least, name.length)),
  );
  for (; over > 0; over--) {
    let widest = -1;
    for (let i = 0; i < width.length; i++)
      if (width[i]! > floor[i]! && (widest < 0 || width[i]! > width[widest]!)) widest = i;
    if (widest < 0) return null;
    width[widest]!--;
  }
  const cut = (cell: string, i: number): string => {
    if (cell.length <= width[i]!) return cell;
    const kept = width[i]! - ELLIPSIS.length;
    const end = NAMES.has(table.head[i]!) ? kept >> 1 : 0;
    return `${cell.slice(0, kept - end)}${ELLIPSIS}${cell.slice(cell.length - end)}`;
  };
  return { ...table, rows: table.rows.map((row) => row.map(cut)) };
}

/** At spaces. */
function wrapped(text: string, columns: number): string[] {
  const lines: string[] = [];
  let rest = text;
  while (rest.length > columns) {
    const space = rest.lastIndexOf(' ', columns);
    if (space <= 0) break;
    lines.push(rest.slice(0, space));
    rest = `  ${rest.slice(space + 1)}`;
  }
  return [...lines, rest];
}

export function markdownTable({ title, head, numeric, rows, notes = [] }: Table): string {
  const line = (cells: Cells): string => `| ${cells.map(markdownCell).join(' | ')} |`;
  const rule = `|${numeric.map((right) => (right ? ' ---: |' : ' --- |')).join('')}`;
  const below = notes.length === 0 ? [] : ['', ...notes.map((note) => `- ${markdownCell(note)}`)];
  return [`## ${title}`, '', line(head), rule, ...rows.map(line), ...below].join('\n');
}

/** Markup of Markdown and HTML is escaped. */
const markdownCell = (cell: string): string => cell.replace(/[\\`*_{}[\]<>|#&!~]/g, '\\$&');
