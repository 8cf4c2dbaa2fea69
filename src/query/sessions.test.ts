/** WebSockets and TLS in the store: found with their calls, whichever segment they ended in, in every way of asking. */
import { expect, test } from 'vitest';
import { Folder } from '../../test/rig/folder.ts';
import { connectionOf, ndjson } from '../../test/unit/log-rig.ts';
import { HOUR, NOW_MS, StoreRig } from '../../test/unit/store-rig.ts';
import { TlsFacts } from '../model/tls.ts';
import type { WebSocketDirection, WebSocketSession } from '../model/websocket.ts';
import { queryCalls, querySql } from './calls.ts';

const side = (textMessages: number, code: number | null): WebSocketDirection => ({
  frames: textMessages + 1,
  masked: 0,
  textMessages,
  textBytes: textMessages * 10,
  binaryMessages: 1,
  binaryBytes: 7,
  compressed: 0,
  pings: 1,
  pongs: 0,
  controlBytes: 2,
  close: code === null ? null : { code, reasonBytes: 0, at: 5_000 },
  firstAt: 3_000,
  lastAt: 4_000,
  unreadBytes: 0,
  violation: false,
  losses: [{ reason: 'gap', bytes: 3 }],
});
const connection = connectionOf();
connection.tls = Object.assign(new TlsFacts(), {
  version: '1.3',
  cipher: 'TLS_AES_256_GCM_SHA384',
  sni: 'chat.example',
  alpn: 'http/1.1',
  resumed: false,
  ja4: 't13d1516h1_8daaf6152771_02713d6af862',
});
const session = (ordinal: number): WebSocketSession => ({
  connection,
  ordinal,
  beganAt: 2_000,
  endedAt: 2_000 + ordinal,
  end: 'closed',
  client: side(ordinal, 1_000),
  server: side(2, null),
});

test('a WebSocket that ends in a later segment than its call is found with it, as its line in the log', async () => {
  using folder = new Folder();
  const rig = await new StoreRig(folder.file('data')).open();
  for (const ordinal of [1, 2, 3])
    rig.call({ ordinal, connection, upgrade: ordinal === 3 ? '' : 'websocket', outcome: 'upgraded' });
  rig.store.writer.websocket(session(1));
  await rig.tick(NOW_MS);
  // The next hour: another segment.
  await rig.tick(NOW_MS + HOUR);
  rig.store.writer.websocket(session(2));
  await rig.tick(NOW_MS + HOUR + 1_000);
  const lines = [2, 1].map((ordinal) => JSON.parse(ndjson().websocket(session(ordinal))) as unknown);
  const live = await rig.read();
  expect(await queryCalls(live, {})).toMatchObject({ ok: true, value: { websockets: lines } });
  live.close();
  await rig.close(NOW_MS + HOUR + 2_000);
  const reader = await rig.read();
  expect(reader.segments).toHaveLength(2);
  const answer = await queryCalls(reader, {});
  if (!answer.ok) throw new Error(answer.error.message);
  expect(answer.value.websockets.map((line) => JSON.stringify(line))).toEqual(
    lines.map((line) => JSON.stringify(line)),
  );
  expect(answer.value.calls.map((line) => JSON.stringify(line))).toEqual(
    rig.lines.toReversed().map((line) => JSON.stringify(line)),
  );
  // A filter leaves a WebSocket out together with its call.
  expect(await queryCalls(reader, { filter: 'side == "client"' })).toMatchObject({
    ok: true,
    value: { websockets: [] },
  });
  expect(
    await querySql(
      reader,
      `SELECT c.id, w."end", w.closed_by, w.duration_ns, w.client_messages, w.server_bytes, w.client_close_code, w.server_close_code
       FROM calls c JOIN websockets w USING (id) ORDER BY c.sequence`,
    ),
  ).toMatchObject({
    ok: true,
    value: {
      rows: [
        ['r-7-1', 'closed', 'client', 1n, 2n, 27n, 1_000, null],
        ['r-7-2', 'closed', 'client', 2n, 3n, 27n, 1_000, null],
      ],
    },
  });
  reader.close();
});

test('TLS of a call can be asked for by SQL and by filter', async () => {
  using folder = new Folder();
  const rig = await new StoreRig(folder.file('data')).open();
  rig.call({ ordinal: 1, connection });
  rig.call({ ordinal: 2 });
  rig.call({ ordinal: 3, grpc: { status: 5, timeoutNs: null, requestMessages: 1, responseMessages: 1 } });
  await rig.close();
  const reader = await rig.read();
  const facts = 'tls_version, tls_cipher, tls_sni, tls_alpn, tls_ja4, tls_resumed';
  expect(await querySql(reader, `SELECT ${facts} FROM calls ORDER BY sequence LIMIT 2`)).toMatchObject({
    ok: true,
    value: {
      rows: [
        ['1.3', 'TLS_AES_256_GCM_SHA384', 'chat.example', 'http/1.1', 't13d1516h1_8daaf6152771_02713d6af862', false],
        [null, null, null, null, null, null],
      ],
    },
  });
  expect(await querySql(reader, "SELECT id FROM calls WHERE extra ->> '$.grpc.status' = '5'")).toMatchObject({
    ok: true,
    value: { rows: [['r-7-3']] },
  });
  for (const filter of ['response.grpc_status == 5', 'response.grpc_status != 0', 'has(response.grpc_status)'])
    expect(await queryCalls(reader, { filter }), filter).toMatchObject({
      ok: true,
      value: { calls: [{ id: 'r-7-3' }] },
    });
  const page = await queryCalls(reader, { filter: 'connection.requested_server_name == "chat.example"' });
  expect(page).toMatchObject({ ok: true, value: { calls: [{ id: 'r-7-1', tls: { sni: 'chat.example' } }] } });
  reader.close();
});
