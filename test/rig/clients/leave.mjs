// Asks for each URL and leaves with the first bytes of the body.
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

for (const url of process.argv.slice(2)) {
  const request = (url.startsWith('https') ? https : http).get(url, { agent: false, rejectUnauthorized: false });
  const [response] = await once(request, 'response');
  await once(response, 'data');
  request.destroy();
  await once(request, 'close');
}
