# bash completion for headwater. Made by: headwater completion bash
_headwater() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} command='' word i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case "$command $word" in
      ' run') command=run ;;
      ' replay') command=replay ;;
      ' tail') command=tail ;;
      ' report') command=report ;;
      ' query') command=query ;;
      ' export') command=export ;;
      ' status') command=status ;;
      ' why') command=why ;;
      ' doctor') command=doctor ;;
      ' demo') command=demo ;;
      ' config') command=config ;;
      'config check') command=config_check ;;
      ' completion') command=completion ;;
      ' man') command=man ;;
      ' help') command=help ;;
    esac
  done
  case "$command $previous" in
    'run --config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'run --cgroup') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    'run --log') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'run --filter')  return ;;
    'run --listen')  return ;;
    'run --data') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    'run --window')  return ;;
    'run --socket') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'replay --config') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'replay --format') mapfile -t COMPREPLY < <(compgen -W 'ndjson har summary' -- "$current"); return ;;
    'replay --keylog') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'replay --filter')  return ;;
    'tail --filter')  return ;;
    'tail --since')  return ;;
    'tail --socket') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'report --since')  return ;;
    'report --until')  return ;;
    'report --against')  return ;;
    'report --data') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    'report --socket') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'query --filter')  return ;;
    'query --since')  return ;;
    'query --until')  return ;;
    'query --limit')  return ;;
    'query --sql')  return ;;
    'query --data') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    'query --socket') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'export --format') mapfile -t COMPREPLY < <(compgen -W 'ndjson har csv parquet' -- "$current"); return ;;
    'export --output') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'export --since')  return ;;
    'export --until')  return ;;
    'export --filter')  return ;;
    'export --data') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
    'export --pcapng') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'export --seconds')  return ;;
    'export --socket') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'status --socket') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    'why --socket') compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
  esac
  case $command in
    '') if [[ $current == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '-V --version -h --help' -- "$current"); else mapfile -t COMPREPLY < <(compgen -W 'run replay tail report query export status why doctor demo config completion man help' -- "$current"); fi ;;
    'run') mapfile -t COMPREPLY < <(compgen -W '--config --cgroup --log --filter --listen --data --no-store --stats-only --verify-tags --window --socket -h --help' -- "$current"); ;;
    'replay') if [[ $current == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '--config --format --keylog --stats --no-redact --filter -h --help' -- "$current"); else compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); fi ;;
    'tail') mapfile -t COMPREPLY < <(compgen -W '--json --headers --filter --since --socket -h --help' -- "$current"); ;;
    'report') mapfile -t COMPREPLY < <(compgen -W '--since --until --against --json --markdown --data --socket -h --help' -- "$current"); ;;
    'query') mapfile -t COMPREPLY < <(compgen -W '--filter --since --until --limit --headers --sql --json --data --socket -h --help' -- "$current"); ;;
    'export') mapfile -t COMPREPLY < <(compgen -W '--format --output --since --until --filter --data --pcapng --seconds --with-secrets --socket -h --help' -- "$current"); ;;
    'status') mapfile -t COMPREPLY < <(compgen -W '--json --socket -h --help' -- "$current"); ;;
    'why') mapfile -t COMPREPLY < <(compgen -W '--json --socket -h --help' -- "$current"); ;;
    'doctor') mapfile -t COMPREPLY < <(compgen -W '--json -h --help' -- "$current"); ;;
    'demo') mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current"); ;;
    'config') if [[ $current == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current"); else mapfile -t COMPREPLY < <(compgen -W 'check' -- "$current"); fi ;;
    'config_check') if [[ $current == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current"); else compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "$current"); fi ;;
    'completion') if [[ $current == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current"); else mapfile -t COMPREPLY < <(compgen -W 'bash zsh fish' -- "$current"); fi ;;
    'man') mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current"); ;;
    'help') mapfile -t COMPREPLY < <(compgen -W '-h --help' -- "$current"); ;;
  esac
}
complete -F _headwater headwater
