/*
 * Shell scripts that copy files into and out of a guest. They follow links as cp does: the target of a link is replaced in its
 * own folder, atomically. Beyond POSIX, they only need `readlink`.
 */

/** Keeps programs from reading a path that begins with a dash as an option. */
const rooted = `case $1 in /*) ;; *) target=./$1; shift; set -- "$target" "$@" ;; esac
`

/** Sets `target` to the file that $1 leads to, and `draft` to an unfinished file with the number $2 in the same folder. */
const resolve = `${rooted}target=$1; hops=0
while [ -h "$target" ]; do
  hops=$((hops + 1)); [ "$hops" -le 40 ] || { echo "$1 is a loop of links" >&2; exit 1; }
  link=$(readlink "$target" && echo .) || exit 1; link=\${link%??}
  case $link in /*) target=$link ;; *) target=\${target%/*}/$link ;; esac
done
draft=\${target%/*}/.awaitvm-$2
`

/** Creates an unfinished file that only its owner can read, if $1 can be written to; prints the path that $1 leads to. */
export const prepareScript = `${resolve}if [ -d "$target" ]; then echo "$1 is a folder" >&2; exit 1; fi
if [ -e "$target" ] && [ ! -f "$target" ]; then echo "$1 is no regular file" >&2; exit 1; fi
if [ -h "$1" ] && [ ! -e "$target" ]; then echo "$1 is a link to a file that is not there" >&2; exit 1; fi
umask 077; set -C; : >"$draft" || exit 1; set +C; printf %s "$target"
`

/** Converts the mode that ls prints to one for chmod. */
const modeOf = String.raw`sed "s/^.\(...\)\(...\)\(...\).*/u=\1,g=\2,o=\3/; s/-//g; s/[st]/x&/g; y/ST/st/"`

const move = `if [ -d "$target" ]; then echo "$1 is a folder" >&2; exit 1; fi
take() { chown "$3:$4" "$draft" && chmod "$(echo "$1" | ${modeOf})" "$draft"; }
if [ -e "$target" ]; then take $(ls -dn "$target"); else chmod "$3" "$draft"; fi && mv -f "$draft" "$target"`

/** Renames the unfinished file to its final name, with the owner and permissions of the file that it replaces, else the mode $3. */
export const finishScript = `${resolve}${move}`

/** Does all of that with the standard input. Its cksum must be $4, else the exit code is 3. Leaves no draft behind. */
export const receiveScript = `${prepareScript}trap 'rm -f "$draft"' EXIT
given=$(cat >"$draft" && cksum <"$draft") || exit 1
given=$(echo $given)
if [ "$given" != "$4" ]; then echo "cksum: $given, and not $4" >&2; exit 3; fi
${move}`

/** Prints the first $2 bytes of $1, and their cksum to the standard error. */
export const sendScript = `head -c "$2" <"$1" && head -c "$2" <"$1" | cksum >&2`

export const removeScript = `${resolve}rm -f "$draft"`

/** Fails unless $1 leads to a readable regular file; prints its size. A pipe must not be opened: that would block forever. */
export const checkScript = `${rooted}if [ ! -e "$1" ]; then echo "$1 is not there" >&2; exit 1; fi
if [ ! -f "$1" ]; then echo "$1 is no regular file" >&2; exit 1; fi
[ -r "$1" ] || { echo "$1 can't be read" >&2; exit 1; }
set -- $(ls -dnL "$1") && echo "$5"`

/** The path of the unfinished file, as in the scripts. */
export const draftPath = (target: string, number: string): string =>
  `${target.slice(0, target.lastIndexOf('/'))}/.awaitvm-${number}`
