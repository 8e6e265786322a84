import { quoteWords } from '../ssh/quote.js'
import { endOfReported, middle } from './reported-program.js'
import { signalScript, stopScript } from './stop-scripts.js'

/*
 * A kept program runs under a keeper: a shell in the guest that belongs to no connection. All is in one folder, for its owner only:
 *
 *   o.p, e.p   pipes that the program's outputs go to
 *   o, e       the first bytes of each output, with the reports of a reported program; o.full, e.full: more was dropped
 *   i, h, f    the pipe of the input, the process that holds it open, and those that write to it for clients
 *   k          the process id of the keeper
 *   stopped    the program was asked to stop
 *   ended      the report of the end, once both outputs are complete. It is called end before, and takes its room at the start, so that a
 *              full disk can't lose it.
 */

/** How much is kept of each output, in blocks of 512 bytes: 16 MiB. */
const keptBlocks = 32_768
/** How long the output is kept after the end of a program that nobody follows, in seconds. */
const keptSeconds = 3600

/** The program itself: $1 is the mark, $2 its id, $3 the umask. */
const inner = `for to in 3 4; do printf "%s begun %s %s\\n" "$1" "$$" "$PPID" >&"$to"; done
umask "$3"; AWAITVM_PROGRAM=$2; export AWAITVM_PROGRAM; shift 3
p=$(command -v setsid) || p=
exec $p "$@" >&3 2>&4 3>&- 4>&-`

/** $1 is the folder, $2 the mark, $3 the id, $4 the umask, $5 whether it has input; then the program. */
const keeper = `d=$1 mark=$2 middle=$MIDDLE inner=$INNER; unset MIDDLE INNER; has=$5
relay() {
  exec 8<&0 3>&- 4>&-
  trap 'kill "$c"; exit' TERM
  (ulimit -f ${keptBlocks}; exec cat <&8 >"$d/$1" 8<&-) & c=$!
  wait "$c" && exit
  : >"$d/$1.full"; cat <&8 >/dev/null & c=$!
  wait "$c"
}
echo "$$" >"$d/k"
exec 3<>"$d/o.p" 4<>"$d/e.p"
relay o <"$d/o.p" & relays=$!
relay e <"$d/e.p" & relays="$relays $!"
exec 5</dev/null
if [ -n "$has" ]; then
  exec 7<>"$d/i"; exec 5<"$d/i" 6>"$d/i"; exec 7>&-
  sleep 99999999 3>&- 4>&- 5<&- & echo "$!" >"$d/h"; exec 6>&-
fi
id=$3 mask=$4; shift 5
set -- "$mark" "$id" "$mask" "$@"
{ ${endOfReported}; } <&5
exec 5<&-
[ -e "$d/stopped" ] && [ "$name" = KILL ] && name=STOPPED
report="$mark end $code $name"
printf "%s\\n" "$report" >&3; printf "%s\\n" "$report" >&4; exec 3>&- 4>&-
if mv "$d/h" "$d/h.over"; then read -r holder <"$d/h.over"; kill "$holder"; fi
for x in o e; do until [ -e "$d/$x.full" ] || grep -qsaF "$report" "$d/$x" || [ ! -d "$d" ]; do sleep 0.05 || sleep 1; done; done
# What the program has left in the background may hold the pipes open.
kill $relays
printf "%-127s\\n" "$report" 1<>"$d/end" && mv "$d/end" "$d/ended"
trap 'kill "$!"' TERM
sleep ${keptSeconds} & wait "$!"
rm -rf -- "$d"`

/** $1 is the name of the folder, $2 the mark, $3 the id, $4 whether it has input; then the program. */
export const startKeptScript = `mask=$(umask); umask 077; d=/run/$1
mkdir "$d" 2>/dev/null || { d=/tmp/$1; mkdir "$d" || exit 4; }
printf "%127s\\n" "" >"$d/end" && mkfifo "$d/o.p" "$d/e.p" "$d/i" && : >"$d/o" && : >"$d/e" || { rm -rf -- "$d"; exit 4; }
mark=$2 id=$3 has=$4; shift 4; unset AWAITVM_PROGRAM
MIDDLE=${quoteWords([middle])} INNER=${quoteWords([inner])}; export MIDDLE INNER
p=$(command -v setsid) || p=
( trap "" HUP; $p sh -c ${quoteWords([keeper])} sh "$d" "$mark" "$id" "$mask" "$has" "$@" </dev/null >/dev/null 2>&1 & )`

/** Exit codes of {@link followScript}. */
export const followed = { complete: 0, truncated: 10, gone: 11 } as const

const find = `d=/run/$1; [ -d "$d" ] || d=/tmp/$1
[ -d "$d" ] && [ -O "$d" ] || exit ${followed.gone}
`

/** Passes the outputs on. $1 is the folder's name, $2 and $3 how many bytes of them were taken before. */
export const followScript = `${find}exec 3<"$d/o" 4<"$d/e" || exit ${followed.gone}
skip() { [ "$1" = 0 ] || dd bs=1 count=0 skip="$1" 2>/dev/null; }
skip "$2" <&3; skip "$3" <&4
all() { cat <&4 >&2; cat <&3; }
while all; do
  if [ -e "$d/ended" ]; then
    all; read -r report <"$d/ended"; code=${followed.complete}
    if [ -e "$d/o.full" ]; then printf "%s\\n" "$report"; code=${followed.truncated}; fi
    if [ -e "$d/e.full" ]; then printf "%s\\n" "$report" >&2; code=${followed.truncated}; fi
    exit "$code"
  fi
  # Another client has taken the end, and removed the folder.
  [ -d "$d" ] || { all; exit ${followed.gone}; }
  if read -r k <"$d/k" && ! grep -qs "$1" "/proc/$k/cmdline" && [ ! -e "$d/ended" ]; then exit ${followed.gone}; fi
  sleep 0.1 || sleep 1
done
exit 1`

/** Exit code of {@link feedScript}. */
const inputIsOver = 12

/**
 * Writes its input to the program, unless that is at its end. The cat of busybox would use sendfile, which locks the pipe that it writes
 * to while it waits for a socket: nothing else could use the pipe then.
 */
export const feedScript = `${find}[ -e "$d/h" ] || exit ${inputIsOver}
exec 3<&0 4>"$d/i"
dd bs=64k <&3 >&4 2>/dev/null & c=$!
exec 3<&- 4>&-
echo "$c" >>"$d/f"; wait "$c"`

/** Ends the input of the program, also for other clients that write to it. */
export const endInputScript = `${find}mv "$d/h" "$d/h.over" 2>/dev/null || exit 0
read -r h <"$d/h.over" && kill "$h"
[ ! -e "$d/f" ] || while read -r c; do
  [ "$(readlink "/proc/$c/fd/1")" != "$d/i" ] || kill "$c"
done <"$d/f"
exit 0`

/** Sends a signal: the parameters are the folder's name, and those of the script for all programs. */
export const signalKeptScript = `${find}shift; ${signalScript}`

/** Stops the program: the parameters are the same. */
export const stopKeptScript = `${find}shift; : >"$d/stopped"; ${stopScript}`

/** Removes what is left, once the end was taken. */
export const removeScript = `${find}read -r k <"$d/k" && grep -qs "$1" "/proc/$k/cmdline" || k=
rm -rf -- "$d"; [ -z "$k" ] || kill "$k"; exit 0`
