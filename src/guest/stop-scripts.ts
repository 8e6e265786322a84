/*
 * Shell scripts that signal a reported program. Their parameters are its mark and id, and the process ids of its first report. They
 * exit with 3 if the program has ended: its process id may then be that of another.
 *
 * For a program that no shell waits for, the mark and the parent are empty: it runs as long as something has its id.
 */

/** Without /proc, as on macOS, `ps` tells who is whose child; the environment of others can't be read there. */
const prepare = `mark=$1 id=$2 pid=$3 parent=$4
if [ -r /proc/self/status ]; then
  runs() { if [ -n "$parent" ]; then grep -qs "$mark" "/proc/$parent/cmdline"; else [ -n "$(marked)" ]; fi; }
  marked() { grep -ls "AWAITVM_PROGRAM=$id" /proc/[0-9]*/environ | tr -dc "0-9\\n"; }
  family() { grep -s "^PPid:" /proc/[0-9]*/status | tr -cs "0-9\\n" " "; }
else
  runs() { if [ -n "$parent" ]; then ps -o args= -p "$parent" | grep -q "$mark"; else kill -s 0 "$pid"; fi; }
  marked() { [ -n "$parent" ] || echo "$pid"; }
  family() { ps -A -o pid= -o ppid=; }
fi
[ "$parent" != "$$" ] && runs || exit 3
`

/** Sends the signal $5 to the program. */
export const signalScript = `${prepare}kill -s "$5" "$pid" || exit 3`

/**
 * Kills the program and all that it has started: its descendants, and what has its mark in the environment, as a daemon whose parent
 * has ended. Each is stopped first, so that it starts no more. The shell that waits for the program is left, to report the end.
 */
export const stopScript = `${prepare}found=" $parent "
halt() { case $found in *" $1 "*) return 1 ;; esac; kill -s STOP "$1" 2>/dev/null; found="$found$1 "; }
more=yes
while [ -n "$more" ]; do
  more=
  for process in $(marked); do halt "$process" && more=yes; done
  set -- $(family)
  while [ "$#" -gt 1 ]; do
    case $found in *" $2 "*) halt "$1" && more=yes ;; esac
    shift 2
  done
done
kill -s KILL \${found#" $parent "} 2>/dev/null
exit 0`
