/**
 * Answers about the past: from memory as far as that reaches, from the store beyond. The store's query engine is loaded when it
 * is first asked, and given back when nobody asks any more: most agents are never asked.
 */
import { steadyMs } from '../base/clock.ts';
import type { LossTotal } from '../model/loss.ts';
import type { CallAnswer, CallQuery, SqlAnswer } from '../query/calls.ts';
import type { Report } from '../query/report.ts';
import type { HistorySource } from '../serve/v1.ts';
import type { Answer } from '../store/database.ts';
import type { StoreReader } from '../store/reader.ts';
import type { Statistics } from './statistics.ts';

const IDLE_MS = 60_000;
/** Asked for what lies this much before memory begins: memory answers, because its minutes are whole ones. */
const SLACK_MS = 60_000;

type Engine = {
  readonly reader: StoreReader;
  readonly calls: typeof import('../query/calls.ts');
  readonly states: typeof import('../query/states.ts');
};

export class History implements HistorySource {
  readonly #statistics: Statistics;
  readonly #losses: () => readonly LossTotal[];
  /** Path of the data folder; null: nothing is stored. */
  readonly #data: string | null;
  readonly #callsKept: boolean;
  #engine: Promise<Answer<Engine>> | null = null;
  #idle: NodeJS.Timeout | null = null;
  #asking = 0;

  constructor(
    statistics: Statistics,
    losses: () => readonly LossTotal[],
    data: string | null,
    { callsKept }: { callsKept: boolean },
  ) {
    this.#statistics = statistics;
    this.#losses = losses;
    this.#data = data;
    this.#callsKept = callsKept;
  }

  async report(sinceMs: number | null, untilMs: number | null): Promise<Answer<Report>> {
    if (sinceMs === null && untilMs === null) return { ok: true, value: this.#statistics.report(this.#losses()) };
    const from = sinceMs ?? this.#statistics.startedMs;
    const inMemory = from + SLACK_MS >= Math.max(this.#statistics.startedMs, this.#statistics.memorySinceMs);
    if (this.#data === null || inMemory)
      return {
        ok: true,
        value: this.#statistics.report(this.#losses(), from, untilMs ?? Number.POSITIVE_INFINITY),
      };
    const stored = await this.#ask<Report | null>(async ({ reader, states }) => {
      if (states.storedExtent(reader) === null) return { ok: true, value: null };
      // The agent runs: an open end is now, whenever the last call was.
      const nowMs = steadyMs();
      return await states.storedReport(reader, sinceMs, untilMs ?? nowMs, nowMs, (to) => this.#statistics.recent(to));
    });
    if (!stored.ok) return stored;
    // Nothing older is stored: what was counted is in memory.
    const found = stored.value ?? this.#statistics.report(this.#losses(), from, untilMs ?? Number.POSITIVE_INFINITY);
    return { ok: true, value: found };
  }

  async calls(query: CallQuery): Promise<CallAnswer> {
    if (!this.#callsKept) return noStore;
    return await this.#ask<never | CallAnswer>(async ({ reader, calls }) => ({
      ok: true,
      value: await calls.queryCalls(reader, { ...query, pageMs: calls.PAGE_MS }),
    })).then((answer) => (answer.ok ? (answer.value as CallAnswer) : answer));
  }

  async sql(text: string, rows: number): Promise<Answer<SqlAnswer>> {
    return await this.#ask(({ reader, calls }) => calls.querySql(reader, text, { rows }));
  }

  async close(): Promise<void> {
    if (this.#idle !== null) clearTimeout(this.#idle);
    await this.#drop();
  }

  async #ask<T>(work: (engine: Engine) => Promise<Answer<T>>): Promise<Answer<T>> {
    if (this.#data === null) return noStore;
    this.#asking++;
    if (this.#idle !== null) clearTimeout(this.#idle);
    try {
      this.#engine ??= open(this.#data);
      const engine = await this.#engine;
      if (!engine.ok) {
        this.#engine = null;
        return engine;
      }
      await engine.value.reader.refresh();
      return await engine.value.reader.holding(() => work(engine.value));
    } finally {
      this.#asking--;
      this.#idle = setTimeout(() => void this.#drop(), IDLE_MS);
      this.#idle.unref();
    }
  }

  async #drop(): Promise<void> {
    if (this.#asking > 0 || this.#engine === null) return;
    const engine = await this.#engine;
    this.#engine = null;
    if (engine.ok) engine.value.reader.close();
  }
}

const noStore = {
  ok: false,
  error: {
    type: 'unavailable',
    message: 'this agent keeps no store of calls (--no-store or stats_only): start it with --data DIR',
  },
} as const;

/** Loads the code that answers from the store: for a process that will not be allowed to read it later. */
export async function loadEngine() {
  const { loadDatabase } = await import('../store/database.ts');
  const [{ readStore }, calls, states] = await Promise.all([
    import('../store/reader.ts'),
    import('../query/calls.ts'),
    import('../query/states.ts'),
    loadDatabase(),
  ]);
  return { readStore, calls, states };
}

async function open(data: string): Promise<Answer<Engine>> {
  try {
    const { readStore, calls, states } = await loadEngine();
    const opened = await readStore(data);
    if (!opened.ok) return { ok: false, error: { type: 'unavailable', message: opened.message } };
    return { ok: true, value: { reader: opened.reader, calls, states } };
  } catch (error) {
    return {
      ok: false,
      error: {
        type: 'unavailable',
        message: `the query engine cannot be loaded in the agent (${(error as NodeJS.ErrnoException).code ?? (error as Error).message}): use headwater query and report on this machine`,
      },
    };
  }
}
