// https-client.mjs VERSION URL...: one connection each, printing status and x-id. For runtimes older than client.mjs needs, and Bun.
import https from 'node:https';

const [version, ...urls] = process.argv.slice(2);
for (const url of urls) {
  const options = {
    rejectUnauthorized: false,
    minVersion: `TLSv${version}`,
    maxVersion: `TLSv${version}`,
    agent: false,
  };
  console.log(
    await new Promise((resolve, reject) => {
      const request = https.get(url, options, (response) => {
        response.resume().on('end', () => resolve(`${response.statusCode} ${response.headers['x-id']}`));
      });
      request.on('error', reject);
    }),
  );
}
