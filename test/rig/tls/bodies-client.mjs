// bodies-client.mjs URL...: the calls one after another on as few connections as the server lets; prints status, x-id, body bytes
// and the trailer x-sum of each.
import https from 'node:https';

const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false });
for (const url of process.argv.slice(2)) {
  console.log(
    await new Promise((resolve, reject) => {
      const request = https.get(url, { agent }, (response) => {
        let bytes = 0;
        response.on('data', (chunk) => {
          bytes += chunk.length;
        });
        response.on('end', () =>
          resolve(`${response.statusCode} ${response.headers['x-id']} ${bytes} ${response.trailers['x-sum'] ?? ''}`),
        );
      });
      request.on('error', reject);
    }),
  );
}
agent.destroy();
