/** What is known of a TLS connection apart from its contents; filled in as its handshake is seen. */
export const TLS_UNREAD_CAUSES = [
  /** No secret for it came: its library is not tapped, or the key log does not have it. */
  'no_secret',
  /** Some of its secrets came: one direction, or a part of the connection, could not be read. */
  'partial_secret',
  /** A secret came for its client random and does not fit: authentication failed. */
  'wrong_secret',
  /** Its handshake was not seen: it is older than the agent or the capture, or records of the handshake were lost. */
  'handshake_unseen',
  /** Its cipher suite or version is none that Headwater decrypts. */
  'unsupported',
  /** Records were lost, and where the next ones belong was not found again. */
  'out_of_step',
  /** What was sent is no TLS. */
  'malformed',
  /** A bound on memory was reached while waiting for a secret. */
  'limit',
] as const;
/** Why bytes of a TLS connection were not decrypted. */
export type TlsUnreadCause = (typeof TLS_UNREAD_CAUSES)[number];

/** A fatal alert: one end refused what the other one had sent, and the connection is over. */
export interface TlsAlert {
  /** As the RFCs name it, "handshake_failure"; "alert 99" where it has no name. */
  readonly alert: string;
  /** Who sent it; in a handshake of which no hello was seen nobody can tell. */
  readonly by: 'client' | 'server' | 'unknown';
}

/** One for each TLS connection. */
export class TlsFacts {
  /** "1.3", "1.2", ...; "" while not known. */
  version = '';
  /** Server name that the client asked for (RFC 6066 3); "" when it sent none. Latin-1, as sent. */
  sni = '';
  /** Protocol agreed by ALPN (RFC 7301); "" when there is none, or when it was not seen (TLS 1.3 without secrets). */
  alpn = '';
  /** Protocols that the client offered. */
  alpnOffered: readonly string[] = [];
  /** Cipher suite as IANA names it; "0xc0ff" when it has no name here; "" while not known. */
  cipher = '';
  /** The handshake resumed a session (ticket, session id, PSK); null while not known. */
  resumed: boolean | null = null;
  /** Early data was sent and accepted. */
  earlyData = false;
  /** The client showed a certificate; seen in TLS 1.2, and in TLS 1.3 with secrets. */
  clientCertificate = false;
  /** When the server's certificate ends: Unix time in seconds; null when it was not seen. */
  certificateNotAfter: number | null = null;
  /** JA4 fingerprint of the client (the open part of JA4+); "" while no ClientHello was seen. */
  ja4 = '';
  /** ClientHello to the client's Finished, in nanoseconds; -1 when not seen. */
  handshakeNs = -1;
  /** Its bytes are being decrypted. */
  decrypted = false;
  /** Why not, or why not all of them; null: nothing was left unread. */
  unread: TlsUnreadCause | null = null;
  /** What ended it, the first of both directions that could be read; null: no fatal alert was seen. */
  alert: TlsAlert | null = null;
}
