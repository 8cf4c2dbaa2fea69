/** Alerts that end a connection (RFC 8446 6, RFC 5246 7.2; names of the IANA registry "TLS Alerts"). */

/** Of an alert's two bytes: level and description. */
export const ALERT_BYTES = 2;
const FATAL = 2;
export const CLOSE_NOTIFY = 0;

const NAMES: ReadonlyMap<number, string> = new Map([
  [10, 'unexpected_message'],
  [20, 'bad_record_mac'],
  [21, 'decryption_failed'],
  [22, 'record_overflow'],
  [30, 'decompression_failure'],
  [40, 'handshake_failure'],
  [42, 'bad_certificate'],
  [43, 'unsupported_certificate'],
  [44, 'certificate_revoked'],
  [45, 'certificate_expired'],
  [46, 'certificate_unknown'],
  [47, 'illegal_parameter'],
  [48, 'unknown_ca'],
  [49, 'access_denied'],
  [50, 'decode_error'],
  [51, 'decrypt_error'],
  [70, 'protocol_version'],
  [71, 'insufficient_security'],
  [80, 'internal_error'],
  [86, 'inappropriate_fallback'],
  [90, 'user_canceled'],
  [100, 'no_renegotiation'],
  [109, 'missing_extension'],
  [110, 'unsupported_extension'],
  [112, 'unrecognized_name'],
  [113, 'bad_certificate_status_response'],
  [115, 'unknown_psk_identity'],
  [116, 'certificate_required'],
  [120, 'no_application_protocol'],
  [121, 'ech_required'],
]);

/** What a fatal alert is called, "alert 99" where it has no name here; "" when it ends nothing: TLS 1.2 warns, too. */
export const fatalAlert = (level: number, description: number): string =>
  level !== FATAL || description === CLOSE_NOTIFY ? '' : (NAMES.get(description) ?? `alert ${description}`);
