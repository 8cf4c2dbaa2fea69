/** Table expressions over the files of segments. Sealed files never change: those of version 1 are read beside those of this version. */
import { quote } from './database.ts';
import type { SegmentFiles } from './segment-files.ts';

/** Table expression over Parquet files of one version. */
export const parquet = (paths: readonly string[]): string => `read_parquet([${paths.map(quote).join(', ')}])`;

/** Columns that version 2 brought, as files of version 1 have them. */
const ADDED = `NULL::VARCHAR AS tls_version, NULL::VARCHAR AS tls_cipher, NULL::VARCHAR AS tls_sni, NULL::VARCHAR AS tls_alpn,
  NULL::VARCHAR AS tls_ja4, NULL::INTEGER AS tls_resumed`;

/** The calls of segments, one at least, with the columns of this version. */
export function callsTable(segments: readonly Pick<SegmentFiles, 'calls' | 'version'>[]): string {
  const of = (old: boolean): string[] =>
    segments.filter(({ version }) => (version === 1) === old).map(({ calls }) => calls);
  const [before, now] = [of(true), of(false)];
  if (before.length === 0) return parquet(now);
  const older = `SELECT *, ${ADDED} FROM ${parquet(before)}`;
  return now.length === 0 ? `(${older})` : `(SELECT * FROM ${parquet(now)} UNION ALL BY NAME ${older})`;
}
