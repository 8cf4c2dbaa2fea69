import { readFileSync } from 'node:fs';
import https from 'node:http2';

const answer = (request, response) => {
  response.setHeader('x-id', new URL(request.url, 'https://localhost').searchParams.get('id') ?? '');
  response.end('hello\n');
};
// Every suite that the library has: the certificate and the client choose.
const options = {
  key: readFileSync('key.pem'),
  cert: readFileSync('cert.pem'),
  allowHTTP1: true,
  ciphers: 'ALL:@SECLEVEL=0',
  minVersion: 'TLSv1.2',
};
https.createSecureServer(options, answer).listen(Number(process.argv[2]), '127.0.0.1');
