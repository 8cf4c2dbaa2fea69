/** What `--sql` sees: docs/store.md describes the columns. */

/** A header block as a list of (name, value), put together from the shape and the call's own values. */
const headers = (shape: string, values: string): string =>
  `list_transform(from_json(${shape}, '[["VARCHAR"]]'), lambda line: ` +
  `{'name': line[1], 'value': CASE WHEN len(line) = 3 THEN ${values}[CAST(line[3] AS INTEGER)] ELSE line[2] END})`;

/** Names that a query may read from. */
export const VIEW_NAMES: readonly string[] = ['calls', 'states', 'ledger'];

export const VIEWS = (from: { calls: string; states: string; ledger: string }): string[] => [
  `CREATE OR REPLACE VIEW calls AS SELECT
    run || '-' || lower(to_base(connection, 36)) || '-' || lower(to_base(ordinal, 36)) AS id,
    ts, protocol, upgrade, stream_id, side, service,
    run || '-' || lower(to_base(connection, 36)) AS connection,
    process_pid, process_name, process_cgroup, process_container,
    client_address, client_port, server_address, server_port,
    route, method, target, scheme, authority, status, reason, outcome,
    last_response_ns - first_request_ns AS duration_ns,
    last_request_ns, first_response_ns, last_response_ns, in_flight,
    request_head_bytes, request_body_bytes, response_head_bytes, response_body_bytes,
    ${headers('request_headers', 'request_values')} AS request_headers,
    ${headers('response_headers', 'response_values')} AS response_headers,
    nullif(anomalies, '') AS anomalies,
    nullif(losses, '') AS losses, sequence
    FROM ${from.calls}`,
  `CREATE OR REPLACE VIEW states AS SELECT * FROM ${from.states}`,
  `CREATE OR REPLACE VIEW ledger AS SELECT * FROM ${from.ledger}`,
];
