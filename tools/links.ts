/**
 * Checks every relative link and anchor in the repository's Markdown, and every source file that a code span names, without network:
 * `node tools/links.ts`. Anchors are made as GitHub makes them. Exit 1 with one line for each that leads nowhere.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';

interface Link {
  readonly line: number;
  readonly target: string;
}

/** Markdown without fenced blocks and code spans, line for line: links in code are not links. */
function prose(markdown: string): string[] {
  let fence = '';
  return markdown.split('\n').map((line) => {
    const mark = /^ {0,3}(`{3,}|~{3,})/.exec(line)?.[1];
    if (fence === '' && mark !== undefined) {
      fence = mark;
      return '';
    }
    if (fence !== '') {
      if (mark?.startsWith(fence) === true) fence = '';
      return '';
    }
    return line.replace(/(`+).*?\1/g, (code) => code.replace(/[[\]()<>]/g, ' '));
  });
}

/** Inline links and images, reference definitions, and HTML href / src. */
export function links(markdown: string): Link[] {
  const found: Link[] = [];
  for (const [i, line] of prose(markdown).entries()) {
    const targets = [
      ...line.matchAll(/\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)/g),
      ...line.matchAll(/^ {0,3}\[[^\]]+\]:\s*<?(\S+?)>?(?:\s|$)/g),
      ...line.matchAll(/(?:href|src)="([^"]+)"/g),
    ];
    for (const match of targets) found.push({ line: i + 1, target: match[1]! });
  }
  return found;
}

/** Files of the repository that code spans name by their path from its root; patterns and folders are none. */
function named(markdown: string): Link[] {
  const found: Link[] = [];
  const kept = prose(markdown);
  for (const [i, line] of markdown.split('\n').entries()) {
    if (kept[i] === '') continue;
    for (const [, , code] of line.matchAll(/(`+)(.*?)\1/g))
      for (const [target] of code!.matchAll(/(?<![^\s'"(])(?:src|test|tools|docs)\/[\w./-]+\.\w+(?![^\s'"),:])/g))
        found.push({ line: i + 1, target });
  }
  return found;
}

/** Anchors of a page: GitHub lower-cases headings, drops punctuation, turns spaces to hyphens and numbers repetitions. */
export function anchors(markdown: string): Set<string> {
  const found = new Set<string>();
  const seen = new Map<string, number>();
  for (const line of prose(markdown)) {
    for (const match of line.matchAll(/(?:id|name)="([^"]+)"/g)) found.add(match[1]!);
  }
  for (const line of headings(markdown)) {
    const slug = line
      .replace(/!?\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replace(/<[^>]+>/g, '')
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\p{M}_\- ]/gu, '')
      .replace(/ /g, '-');
    const count = seen.get(slug) ?? 0;
    seen.set(slug, count + 1);
    found.add(count === 0 ? slug : `${slug}-${count}`);
  }
  return found;
}

function headings(markdown: string): string[] {
  const kept = prose(markdown);
  return markdown
    .split('\n')
    .filter((line, i) => /^ {0,3}#{1,6}\s/.test(line) && kept[i] !== '')
    .map((line) => line.replace(/^ {0,3}#{1,6}\s+/, '').replace(/\s+#*\s*$/, ''));
}

/** What is wrong with the links of `file` and the files it names, one line each; `root` is the repository. */
export function broken(root: string, file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8');
  const gone = named(text).filter(({ target }) => !existsSync(join(root, target)));
  return [
    ...brokenLinks(root, file, text),
    ...gone.map(({ line, target }) => `${file}:${line}: there is no ${target}`),
  ];
}

function brokenLinks(root: string, file: string, text: string): string[] {
  return links(text).flatMap(({ line, target }) => {
    if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return [];
    const [path = '', anchor] = target.split('#', 2);
    const page = path === '' ? file : normalize(join(dirname(file), decodeURIComponent(path)));
    if (page.startsWith('..') || path.startsWith('/')) return [`${file}:${line}: ${target} leaves the repository`];
    if (!existsSync(join(root, page))) return [`${file}:${line}: ${target} does not exist`];
    if (anchor === undefined || !page.endsWith('.md')) return [];
    const known = anchors(readFileSync(join(root, page), 'utf8'));
    return known.has(decodeURIComponent(anchor)) ? [] : [`${file}:${line}: ${page} has no heading #${anchor}`];
  });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const root = join(import.meta.dirname, '..');
  // Tracked, and new but not ignored.
  const pages = execFileSync('git', ['ls-files', '-co', '--exclude-standard', '*.md'], { cwd: root, encoding: 'utf8' })
    .split('\n')
    .filter((page) => page !== '' && existsSync(join(root, page)));
  const problems = pages.flatMap((page) => broken(root, page));
  for (const problem of problems) console.error(problem);
  console.log(`${pages.length} pages, ${problems.length} broken links`);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
