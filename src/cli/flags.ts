/** What the commands are told by their options, as program.ts reads them. */

/** What `run` was told by flags. */
export interface RunFlags {
  readonly config?: string;
  readonly cgroup?: readonly string[];
  readonly log?: string;
  readonly filter?: string;
  readonly listen?: string;
  readonly statsOnly?: true;
  readonly verifyTags?: true;
  /** Nanoseconds. */
  readonly window?: number;
  readonly data?: string;
  /** false: --no-store. */
  readonly store: boolean;
  readonly socket?: string;
}

export interface TailFlags {
  readonly json?: true;
  readonly headers?: true;
  readonly filter?: string;
  readonly since?: string;
  readonly socket?: string;
}

export interface ReplayFlags {
  readonly config?: string;
  readonly format: 'ndjson' | 'har' | 'summary';
  readonly stats?: true;
  readonly redact: boolean;
  readonly filter?: string;
  readonly keylog?: string;
}

export interface QueryFlags {
  readonly json?: true;
  readonly headers?: true;
  readonly filter?: string;
  readonly since?: string;
  readonly until?: string;
  readonly limit?: number;
  readonly sql?: string;
  readonly data?: string;
  readonly socket?: string;
}

export interface ReportFlags {
  readonly json?: true;
  readonly markdown?: true;
  readonly since?: string;
  readonly until?: string;
  /** SINCE..UNTIL */
  readonly against?: string;
  readonly data?: string;
  readonly socket?: string;
}

export interface ExportFlags {
  readonly format: 'ndjson' | 'har' | 'csv' | 'parquet';
  readonly output: string;
  readonly since?: string;
  readonly until?: string;
  readonly filter?: string;
  readonly data?: string;
  readonly pcapng?: string;
  readonly seconds?: number;
  readonly withSecrets?: true;
  readonly socket?: string;
}

export interface StatusFlags {
  readonly json?: true;
  readonly socket?: string;
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];
