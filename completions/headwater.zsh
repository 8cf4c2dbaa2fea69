#compdef headwater
# zsh completion for headwater. Made by: headwater completion zsh
_headwater() {
  local context curcontext="$curcontext" state state_descr line
  typeset -A opt_args
  local -a commands=(
    'run:capture in the foreground until SIGINT or SIGTERM, then write the ledger to stderr'
    'replay:read capture files (pcap, pcapng, also compressed; '\''-'\'' is stdin) through the same pipeline'
    'tail:show live calls of the running agent, one line a call'
    'report:the five API runtime statistics\: of the running agent since its start, or of a range of the store'
    'query:past calls from the store, newest first, one line a call'
    'export:write past calls from the store, oldest first; or, with --pcapng, packets that the running agent captures from now on'
    'status:show what the running agent sees and misses, and what it costs'
    'why:show what is seen of a process, port or URL, what is not, the reason, and what to do'
    'doctor:check whether this machine can run Headwater; exit code 1 when something blocks'
    'demo:run a real gateway, fake providers, real clients and the agent on this machine, in their own cgroup'
    'config:work with configuration files'
    'completion:print a completion script for a shell'
    'man:print the manual page (roff)\: headwater man | man -l -'
    'help:display help for a command'
  )
  _arguments -C -s -S \
    '-V[print the version]' \
    '--version[print the version]' \
    '-h[display help for command]' \
    '--help[display help for command]' \
    '1: :->command' \
    '*:: :->rest'
  case $state in
    command) _describe -t commands command commands ;;
    rest) case $line[1] in
      run) _headwater_run ;;
      replay) _headwater_replay ;;
      tail) _headwater_tail ;;
      report) _headwater_report ;;
      query) _headwater_query ;;
      export) _headwater_export ;;
      status) _headwater_status ;;
      why) _headwater_why ;;
      doctor) _headwater_doctor ;;
      demo) _headwater_demo ;;
      config) _headwater_config ;;
      completion) _headwater_completion ;;
      man) _headwater_man ;;
      help) _headwater_help ;;
    esac ;;
  esac
}

_headwater_run() {
  _arguments -s -S \
    '--config[configuration (YAML; flags win over it)]:file:_files' \
    '*--cgroup[observe this cgroup only; repeatable (default\: the whole unified hierarchy)]:dir:_files -/' \
    '--log[write the header log here ('\''-'\''\: standard output)]:file:_files' \
    '--filter[only calls that match, for example\: response.code >= 500]:cel: ' \
    '--listen[serve /healthz, /readyz and /metrics here]:addr\:port: ' \
    '--data[keep calls and statistics here (default\: '\''data'\'' in the state directory)]:dir:_files -/' \
    '--no-store[keep nothing on disk]' \
    '--stats-only[no record of a single call leaves memory]' \
    '--verify-tags[check the tag of every TLS record, not only of the first under a key]' \
    '--window[window over which rates are computed (default\: 60s)]:duration: ' \
    '--socket[unix socket of the agent (default\: headwater.sock in the runtime directory)]:path:_files' \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_replay() {
  _arguments -s -S \
    '--config[configuration (YAML; flags win over it)]:file:_files' \
    '--format[how calls are printed ('\''summary'\''\: the last line alone) (default\: ndjson)]:format:(ndjson har summary)' \
    '--keylog[TLS secrets (SSLKEYLOGFILE format); those inside pcapng files are used as well]:file:_files' \
    '--stats[end with the statistics\: a report line before the last one, and tables on stderr]' \
    '--no-redact[show credentials]' \
    '--filter[only calls that match, for example\: response.code >= 500]:cel: ' \
    '-h[display help for command]' \
    '--help[display help for command]' \
    '*:capture files:_files'
}

_headwater_tail() {
  _arguments -s -S \
    '--json[print header log lines (NDJSON)]' \
    '--headers[print the header fields below each call]' \
    '--filter[only calls that match, for example\: response.code >= 500]:cel: ' \
    '--since[begin with the calls that the agent has stored since then\: 15m, 2h, ...]:time: ' \
    '--socket[unix socket of the agent (default\: headwater.sock in the runtime directory)]:path:_files' \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_report() {
  _arguments -s -S \
    '--since[from here on\: 15m, 2h, 7d ago, 2026-11-22, or 2026-11-22T16\:04\:05Z]:time: ' \
    '--until[up to here (default\: now)]:time: ' \
    '--against[what changed from this other range to that of --since and --until]:since..until: ' \
    '--json[print JSON]' \
    '--markdown[print Markdown]' \
    '--data[data folder (default\: '\''data'\'' in the state directory)]:dir:_files -/' \
    '--socket[unix socket of the agent (default\: headwater.sock in the runtime directory)]:path:_files' \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_query() {
  _arguments -s -S \
    '--filter[only calls that match, for example\: response.code >= 500]:cel: ' \
    '--since[from here on\: 15m, 2h, 7d ago, 2026-11-22, or 2026-11-22T16\:04\:05Z]:time: ' \
    '--until[up to here (default\: now)]:time: ' \
    '--limit[at most so many calls or rows (default\: 100, SQL 1000)]:n: ' \
    '--headers[print the header fields below each call]' \
    '--sql[one SELECT over calls, states and ledger instead (docs/store.md)]:select: ' \
    '--json[print header log lines (NDJSON); of --sql, one object a row]' \
    '--data[data folder (default\: '\''data'\'' in the state directory)]:dir:_files -/' \
    '--socket[unix socket of the agent whose calls are asked for, up to this moment]:path:_files' \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_export() {
  _arguments -s -S \
    '--format[of the calls (default\: ndjson)]:format:(ndjson har csv parquet)' \
    '--output[write the calls here ('\''-'\''\: standard output) (default\: -)]:file:_files' \
    '--since[from here on\: 15m, 2h, 7d ago, 2026-11-22, or 2026-11-22T16\:04\:05Z]:time: ' \
    '--until[up to here (default\: now)]:time: ' \
    '--filter[only calls that match, for example\: response.code >= 500]:cel: ' \
    '--data[data folder (default\: '\''data'\'' in the state directory)]:dir:_files -/' \
    '--pcapng[write packets here instead, as they are, nothing redacted ('\''-'\''\: standard output)]:file:_files' \
    '--seconds[with --pcapng\: for so long, up to 3600 (default\: 10)]:n: ' \
    '--with-secrets[with --pcapng\: put the secrets of TLS connections that begin meanwhile into the file; whoever has it can read them]' \
    '--socket[unix socket of the agent that packets come from, or whose calls are written (default for packets\: headwater.sock in the runtime directory)]:path:_files' \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_status() {
  _arguments -s -S \
    '--json[print JSON]' \
    '--socket[unix socket of the agent (default\: headwater.sock in the runtime directory)]:path:_files' \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_why() {
  _arguments -s -S \
    '--json[print JSON]' \
    '--socket[unix socket of the agent (default\: headwater.sock in the runtime directory)]:path:_files' \
    '-h[display help for command]' \
    '--help[display help for command]' \
    ':process id, port, or URL: '
}

_headwater_doctor() {
  _arguments -s -S \
    '--json[print JSON]' \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_demo() {
  _arguments -s -S \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_config() {
  local context curcontext="$curcontext" state state_descr line
  typeset -A opt_args
  local -a commands=(
    'check:check a configuration file; every mistake is named with its line and column'
  )
  _arguments -C -s -S \
    '-h[display help for command]' \
    '--help[display help for command]' \
    '1: :->command' \
    '*:: :->rest'
  case $state in
    command) _describe -t commands command commands ;;
    rest) case $line[1] in
      check) _headwater_config_check ;;
    esac ;;
  esac
}

_headwater_config_check() {
  _arguments -s -S \
    '-h[display help for command]' \
    '--help[display help for command]' \
    ':configuration file (YAML):_files'
}

_headwater_completion() {
  _arguments -s -S \
    '-h[display help for command]' \
    '--help[display help for command]' \
    ':shell:(bash zsh fish)'
}

_headwater_man() {
  _arguments -s -S \
    '-h[display help for command]' \
    '--help[display help for command]'
}

_headwater_help() {
  _arguments -s -S \
    '-h[display help for command]' \
    '--help[display help for command]' \
    ':its name: '
}

if [ "$funcstack[1] " = '_headwater ' ]; then _headwater "$@"; else compdef _headwater headwater; fi
