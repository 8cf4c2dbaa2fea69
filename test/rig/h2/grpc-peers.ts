/** A grpc-js server and client in one process. Prints one JSON line: what every call was. */
import {
  Client,
  credentials,
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';

const same = (bytes: Buffer): Buffer => bytes;
const method = (path: string, requestStream: boolean, responseStream: boolean) => ({
  path,
  requestStream,
  responseStream,
  requestSerialize: same,
  requestDeserialize: same,
  responseSerialize: same,
  responseDeserialize: same,
});
const service: ServiceDefinition = {
  Echo: method('/test.v1.Echo/Echo', false, false),
  Fail: method('/test.v1.Echo/Fail', false, false),
  Hang: method('/test.v1.Echo/Hang', false, false),
  Count: method('/test.v1.Echo/Count', false, true),
  Chat: method('/test.v1.Echo/Chat', true, true),
};

const server = new Server();
server.addService(service, {
  Echo: (call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) => done(null, call.request),
  Fail: (_call: ServerUnaryCall<Buffer, Buffer>, done: sendUnaryData<Buffer>) =>
    done({ code: status.FAILED_PRECONDITION, details: 'not today' }),
  Hang: () => {},
  Count: (call: ServerWritableStream<Buffer, Buffer>) => {
    for (let i = 0; i < 5; i++) call.write(Buffer.from(`number ${i}`));
    call.end();
  },
  Chat: (call: ServerDuplexStream<Buffer, Buffer>) => {
    call.on('data', (message: Buffer) => call.write(message));
    call.on('end', () => call.end());
  },
});
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
    error === null ? resolve(bound) : reject(error),
  );
});

interface Truth {
  id: string;
  route: string;
  status: number | null;
  request: number;
  response: number | null;
  outcome: string;
}
const truth: Truth[] = [];
const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
let number = 0;

const unary = (name: string, path: string, deadlineMs: number | null): Promise<Truth> => {
  const id = `call-${++number}`;
  const metadata = new Metadata();
  metadata.set('x-id', id);
  const options = deadlineMs === null ? {} : { deadline: Date.now() + deadlineMs };
  return new Promise((resolve) => {
    client.makeUnaryRequest(
      path,
      same,
      same,
      Buffer.from(id.padEnd(200)),
      metadata,
      options,
      (error: ServiceError | null) => {
        const code = error === null ? 0 : error.code;
        const late = name === 'Hang';
        resolve({
          id,
          route: name === 'None' ? 'other' : path,
          status: late ? null : code,
          request: 1,
          response: late ? null : error === null ? 1 : 0,
          outcome: late ? 'timeout' : 'complete',
        });
      },
    );
  });
};

for (let round = 0; round < 20; round++) {
  truth.push(
    ...(await Promise.all([
      unary('Echo', '/test.v1.Echo/Echo', null),
      unary('Echo', '/test.v1.Echo/Echo', 5_000),
      unary('Fail', '/test.v1.Echo/Fail', null),
      unary('Hang', '/test.v1.Echo/Hang', 200),
      unary('None', '/test.v1.Echo/NoSuchMethod', null),
    ])),
  );
}

const metadata = (id: string): Metadata => {
  const made = new Metadata();
  made.set('x-id', id);
  return made;
};
await new Promise<void>((resolve) => {
  const call = client.makeServerStreamRequest('/test.v1.Echo/Count', same, same, Buffer.from('go'), metadata('count'));
  call.on('data', () => {});
  call.on('end', resolve);
});
truth.push({ id: 'count', route: '/test.v1.Echo/Count', status: 0, request: 1, response: 5, outcome: 'complete' });
await new Promise<void>((resolve) => {
  const call = client.makeBidiStreamRequest('/test.v1.Echo/Chat', same, same, metadata('chat'));
  let seen = 0;
  call.on('data', () => {
    if (++seen < 30) call.write(Buffer.alloc(seen * 1_000));
    else call.end();
  });
  call.on('end', resolve);
  call.write(Buffer.alloc(10));
});
truth.push({ id: 'chat', route: '/test.v1.Echo/Chat', status: 0, request: 30, response: 30, outcome: 'complete' });
client.close();
await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
process.stdout.write(`${JSON.stringify(truth)}\n`);
