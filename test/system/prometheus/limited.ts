/** A server of limited capacity: `limited.ts PORT PLACES MS`. So many calls at once, each for so long on average (exponential); the others wait their turn. */
import { createServer, type ServerResponse } from 'node:http';

const [port, places, ms] = process.argv.slice(2).map(Number) as [number, number, number];
const waiting: ServerResponse[] = [];
let busy = 0;

function begin(response: ServerResponse): void {
  busy++;
  setTimeout(
    () => {
      response.end('done\n');
      busy--;
      const next = waiting.shift();
      if (next !== undefined) begin(next);
    },
    -Math.log(1 - Math.random()) * ms,
  );
}

createServer((_, response) => {
  if (busy < places) begin(response);
  else waiting.push(response);
}).listen(port, '127.0.0.1');
