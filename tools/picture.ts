/**
 * Draws terminal output as SVG: `node tools/picture.ts < output > docs/demo.svg`. Reads text with the SGR sequences that
 * Headwater prints (bold, dim, four colours). How docs/demo.svg is made from the demo stands at its end.
 */
import { text } from 'node:stream/consumers';

const FONT_PX = 13;
/** Width of a character in a monospaced font, as a share of its height. */
const CHAR_PX = FONT_PX * 0.602;
const LINE_PX = 18;
const MARGIN_PX = 16;

const INK = '#d7dae0';
const PAPER = '#16191f';
const COLOURS: Readonly<Record<string, string>> = {
  '31': '#ff7b72',
  '32': '#7ee787',
  '33': '#e3b341',
  '36': '#79c0ff',
};

const xml = (s: string): string => s.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;');

/** One line: a <tspan> for each run of one style. */
function spans(line: string): string {
  let style = '';
  let out = '';
  for (const piece of line.split(/(\u001b\[[\d;]*m)/)) {
    const sgr = /^\u001b\[([\d;]*)m$/.exec(piece)?.[1];
    if (sgr === undefined) {
      out += style === '' ? xml(piece) : piece === '' ? '' : `<tspan ${style}>${xml(piece)}</tspan>`;
    } else if (sgr === '1') style = 'font-weight="bold" fill="#ffffff"';
    else if (sgr === '2') style = 'fill="#8b949e"';
    else style = COLOURS[sgr] === undefined ? '' : `fill="${COLOURS[sgr]}"`;
  }
  return out;
}

const lines = (await text(process.stdin)).replaceAll('\r', '').trimEnd().split('\n');
const columns = Math.max(...lines.map((line) => line.replace(/\u001b\[[\d;]*m/g, '').length));
const width = Math.ceil(columns * CHAR_PX + 2 * MARGIN_PX);
const height = lines.length * LINE_PX + 2 * MARGIN_PX;
const rows = lines.flatMap((line, i) =>
  line === '' ? [] : [`<text x="${MARGIN_PX}" y="${MARGIN_PX + (i + 1) * LINE_PX - 5}">${spans(line)}</text>`],
);
console.log(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>What headwater demo prints</title>
<rect width="100%" height="100%" rx="8" fill="${PAPER}"/>
<g font-family="ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="${FONT_PX}" fill="${INK}" xml:space="preserve">
${rows.join('\n')}
</g>
</svg>`);
// script -qec 'stty cols 150 rows 50; bin/headwater demo' /dev/null > /tmp/demo.txt, then the calls worth showing: sed -n 'FROM,TOp'
