import https from 'node:https';

https.get(process.argv[2], (response) => {
  console.log(response.statusCode);
  response.resume();
});
