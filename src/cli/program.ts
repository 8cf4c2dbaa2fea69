/** Every command, option and argument. Help, completions, the man page and docs/cli.md are made from these definitions. */
import { Argument, Command, Option } from 'commander';
import { didYouMean } from '../base/suggest.ts';
import { packageVersion } from '../base/version.ts';
import {
  collect,
  dataOption,
  durationArgument,
  filterOption,
  jsonOption,
  limitArgument,
  listenArgument,
  pathOption,
  rangeArgument,
  secondsArgument,
  sinceOption,
  socketOption,
  storeSocketOption,
  untilOption,
} from './arguments.ts';
import {
  type ExportFlags,
  type QueryFlags,
  type ReplayFlags,
  type ReportFlags,
  type RunFlags,
  SHELLS,
  type Shell,
  type StatusFlags,
  type TailFlags,
} from './flags.ts';
import { safe } from './text/terminal.ts';

const SUMMARY = 'Logs the headers of every HTTP call on this host, and says exactly what it saw and what it missed.';

/** Commander's errors take several lines ("error: ...", "(Did you mean ...?)"): make them one. */
const usageLine = (text: string): string =>
  safe(
    text
      .trim()
      .replace(/^error: /, '')
      .replaceAll('\n', ' '),
  );

export function buildProgram(): Command {
  const program = new Command('headwater');
  // Inherited by the commands, so it comes first: mistakes end with one line and the exit code of main.ts.
  program
    .description(SUMMARY)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`headwater: ${usageLine(text)}\n`) })
    .version(packageVersion(), '-V, --version', 'print the version');

  program
    .command('run')
    .description('capture in the foreground until SIGINT or SIGTERM, then write the ledger to stderr')
    .addOption(pathOption('--config <file>', 'configuration (YAML; flags win over it)'))
    .addOption(
      new Option(
        '--cgroup <dir>',
        'observe this cgroup only; repeatable (default: the whole unified hierarchy)',
      ).argParser(collect),
    )
    .addOption(pathOption('--log <file>', "write the header log here ('-': standard output)"))
    .addOption(filterOption())
    .addOption(
      new Option('--listen <addr:port>', 'serve /healthz, /readyz and /metrics here').argParser(listenArgument),
    )
    .addOption(
      pathOption('--data <dir>', "keep calls and statistics here (default: 'data' in the state directory)").conflicts(
        'store',
      ),
    )
    .addOption(new Option('--no-store', 'keep nothing on disk'))
    .addOption(new Option('--stats-only', 'no record of a single call leaves memory').conflicts('log'))
    .addOption(new Option('--verify-tags', 'check the tag of every TLS record, not only of the first under a key'))
    .addOption(
      new Option('--window <duration>', 'window over which rates are computed (default: 60s)').argParser(
        durationArgument,
      ),
    )
    .addOption(socketOption())
    .action(async (flags: RunFlags) => {
      const { run } = await import('./commands/run.ts');
      process.exitCode = await run(flags);
    });

  program
    .command('replay')
    .description("read capture files (pcap, pcapng, also compressed; '-' is stdin) through the same pipeline")
    .argument('<file...>', 'capture files')
    .addOption(pathOption('--config <file>', 'configuration (YAML; flags win over it)'))
    .addOption(
      new Option('--format <format>', "how calls are printed ('summary': the last line alone)")
        .choices(['ndjson', 'har', 'summary'])
        .default('ndjson'),
    )
    .addOption(
      pathOption('--keylog <file>', 'TLS secrets (SSLKEYLOGFILE format); those inside pcapng files are used as well'),
    )
    .addOption(
      new Option('--stats', 'end with the statistics: a report line before the last one, and tables on stderr'),
    )
    .addOption(new Option('--no-redact', 'show credentials'))
    .addOption(filterOption())
    .action(async (files: string[], flags: ReplayFlags) => {
      const { replay } = await import('./commands/replay.ts');
      process.exitCode = await replay(files, flags);
    });

  program
    .command('tail')
    .description('show live calls of the running agent, one line a call')
    .addOption(jsonOption('print header log lines (NDJSON)'))
    .addOption(new Option('--headers', 'print the header fields below each call').conflicts('json'))
    .addOption(filterOption())
    .addOption(new Option('--since <time>', 'begin with the calls that the agent has stored since then: 15m, 2h, ...'))
    .addOption(socketOption())
    .action(async (flags: TailFlags) => {
      const { tail } = await import('./commands/tail.ts');
      process.exitCode = await tail(flags);
    });

  program
    .command('report')
    .description('the five API runtime statistics: of the running agent since its start, or of a range of the store')
    .addOption(sinceOption())
    .addOption(untilOption())
    .addOption(
      new Option(
        '--against <since..until>',
        'what changed from this other range to that of --since and --until',
      ).argParser(rangeArgument),
    )
    .addOption(jsonOption('print JSON'))
    .addOption(new Option('--markdown', 'print Markdown').conflicts('json'))
    .addOption(dataOption())
    .addOption(socketOption())
    .action(async (flags: ReportFlags) => {
      const { report } = await import('./commands/report.ts');
      process.exitCode = await report(flags);
    });

  program
    .command('query')
    .description('past calls from the store, newest first, one line a call')
    .addOption(filterOption())
    .addOption(sinceOption())
    .addOption(untilOption())
    .addOption(
      new Option('--limit <n>', 'at most so many calls or rows (default: 100, SQL 1000)').argParser(limitArgument),
    )
    .addOption(new Option('--headers', 'print the header fields below each call').conflicts('json'))
    .addOption(
      new Option('--sql <select>', 'one SELECT over calls, states and ledger instead (docs/store.md)').conflicts([
        'filter',
        'since',
        'until',
        'headers',
      ]),
    )
    .addOption(jsonOption('print header log lines (NDJSON); of --sql, one object a row'))
    .addOption(dataOption())
    .addOption(storeSocketOption('unix socket of the agent whose calls are asked for, up to this moment'))
    .action(async (flags: QueryFlags) => {
      const { query } = await import('./commands/query.ts');
      process.exitCode = await query(flags);
    });

  program
    .command('export')
    .description(
      'write past calls from the store, oldest first; or, with --pcapng, packets that the running agent captures from now on',
    )
    .addOption(
      new Option('--format <format>', 'of the calls').choices(['ndjson', 'har', 'csv', 'parquet']).default('ndjson'),
    )
    .addOption(pathOption('--output <file>', "write the calls here ('-': standard output)").default('-'))
    .addOption(sinceOption())
    .addOption(untilOption())
    .addOption(filterOption())
    .addOption(dataOption())
    .addOption(
      pathOption(
        '--pcapng <file>',
        "write packets here instead, as they are, nothing redacted ('-': standard output)",
      ).conflicts(['format', 'output', 'since', 'until', 'filter', 'data']),
    )
    .addOption(
      new Option('--seconds <n>', 'with --pcapng: for so long, up to 3600 (default: 10)').argParser(secondsArgument),
    )
    .addOption(
      new Option(
        '--with-secrets',
        'with --pcapng: put the secrets of TLS connections that begin meanwhile into the file; whoever has it can read them',
      ),
    )
    .addOption(
      storeSocketOption(
        'unix socket of the agent that packets come from, or whose calls are written (default for packets: headwater.sock in the runtime directory)',
      ),
    )
    .action(async (flags: ExportFlags) => {
      const { exportCommand } = await import('./commands/export.ts');
      process.exitCode = await exportCommand(flags);
    });

  program
    .command('status')
    .description('show what the running agent sees and misses, and what it costs')
    .addOption(jsonOption('print JSON'))
    .addOption(socketOption())
    .action(async (flags: StatusFlags) => {
      const { status } = await import('./commands/status.ts');
      process.exitCode = await status(flags);
    });

  program
    .command('why')
    .description('show what is seen of a process, port or URL, what is not, the reason, and what to do')
    .argument('<target>', 'process id, port, or URL')
    .addOption(jsonOption('print JSON'))
    .addOption(socketOption())
    .action(async (target: string, flags) => {
      const { whyCommand } = await import('./why/main.ts');
      process.exitCode = await whyCommand(target, flags);
    });

  program
    .command('doctor')
    .description('check whether this machine can run Headwater; exit code 1 when something blocks')
    .addOption(jsonOption('print JSON'))
    .action(async (flags) => {
      const { doctorCommand } = await import('./doctor/main.ts');
      process.exitCode = await doctorCommand(flags);
    });

  program
    .command('demo')
    .description('run a real gateway, fake providers, real clients and the agent on this machine, in their own cgroup')
    .action(async () => {
      const { demoCommand } = await import('./demo/main.ts');
      process.exitCode = await demoCommand({});
    });

  const config = program.command('config').description('work with configuration files').helpCommand(false);
  config
    .command('check')
    .description('check a configuration file; every mistake is named with its line and column')
    .argument('<file>', 'configuration file (YAML)')
    .action(async (file: string) => {
      const { configCheck } = await import('./commands/config-check.ts');
      process.exitCode = configCheck(file);
    });

  program
    .command('completion')
    .description('print a completion script for a shell')
    .addArgument(new Argument('<shell>', 'shell').choices(SHELLS))
    .action(async (shell: Shell) => {
      const { completionScript } = await import('./docs/completion.ts');
      process.stdout.write(completionScript(buildProgram(), shell));
    });

  program
    .command('man')
    .description('print the manual page (roff): headwater man | man -l -')
    .action(async () => {
      const { manPage } = await import('./docs/man.ts');
      process.stdout.write(manPage(buildProgram()));
    });

  // Commander's own shows the general help for a name that nothing has.
  program
    .helpCommand(false)
    .command('help')
    .description('display help for a command')
    .argument('[command...]', 'its name')
    .action((names: string[]) => namedCommand(program, names).help());

  refuseRepeats(program);
  return program;
}

function namedCommand(program: Command, names: readonly string[]): Command {
  return names.reduce((parent, name) => {
    const found = parent.commands.find((command) => command.name() === name);
    if (found !== undefined) return found;
    const all = parent.commands.map((command) => command.name());
    const meant = didYouMean(name, all);
    return program.error(`error: unknown command '${name}'${meant === null ? '' : ` (Did you mean ${meant}?)`}`);
  }, program);
}

/** An option given twice would silently count once: which of two filters was meant is not ours to choose. */
function refuseRepeats(command: Command): void {
  for (const option of command.options) {
    if (option.parseArg === collect || !option.required) continue;
    let given = false;
    command.on(`option:${option.name()}`, () => {
      if (given) command.error(`error: option '${option.flags}' is given twice`);
      given = true;
    });
  }
  for (const child of command.commands) refuseRepeats(child);
}
