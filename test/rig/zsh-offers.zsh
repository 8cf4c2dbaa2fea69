# What zsh would offer after the words of $2, with the completion script $1: one a line.
zmodload zsh/zpty || exit 1
zpty shell zsh -f -i
{
  zpty -w shell "PROMPT= PS2= RPROMPT=; unsetopt zle_bracketed_paste 2>/dev/null; setopt no_list_beep no_auto_remove_slash"
  zpty -w shell 'autoload -Uz compinit; compinit -D -u'
  zpty -w shell "source ${(q)1}"
  # Instead of showing matches: prints them. With -O, -A or -D completion functions ask for matches themselves.
  zpty -w shell 'compadd () {
    if [[ ${@[1,(i)(-|--)]} == *-(O|A|D)\ * ]]; then builtin compadd "$@"; return $?; fi
    local -a hits; builtin compadd -A hits "$@"
    local hit; for hit in $hits; do print -r -- "offer:$hit"; done
    builtin compadd "$@"
  }'
  zpty -w shell 'finish () { print -r -- "offers"":end"; exit }; comppostfuncs=(finish)'
  zpty -w shell 'bindkey "^I" complete-word; print -r -- "ready"":now"'
  local line
  while zpty -r shell line; do [[ $line == *ready:now* ]] && break; done
  zpty -w -n shell "headwater $2"$'\t'
  while zpty -r shell line; do
    [[ $line == *offers:end* ]] && break
    [[ $line == *offer:* ]] && print -r -- ${${line##*offer:}%%$'\r'*}
  done
} always { zpty -d shell }
