// impit-client.mjs EXTENSION URL...: a call each by one client of rustls, printing status and what came.
import { createRequire } from 'node:module';

const [extension, ...urls] = process.argv.slice(2);
const { Impit } = createRequire(import.meta.url)(extension);
const client = new Impit({ ignoreTlsErrors: true });
for (const url of urls) {
  const response = await client.fetch(url);
  console.log(`${response.status} ${(await response.text()).trim()}`);
}
