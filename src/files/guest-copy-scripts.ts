/*
 * What copies of files do in a guest, in the language of a POSIX shell. They follow links as cp does: what a link leads to is
 * replaced, in its own folder and in one step. `readlink` is all that they need beyond POSIX.
 */

/** Lets no program take a path that begins with a dash for an option. */
const rooted = `case $1 in /*) ;; *) target=./$1; shift; set -- "$target" "$@" ;; esac
`

/** Sets `target` to what $1 leads to, and `draft` to an unfinished file of the number $2 in the same folder. */
const resolve = `${rooted}target=$1; hops=0
while [ -h "$target" ]; do
  hops=$((hops + 1)); [ "$hops" -le 40 ] || { echo "$1 is a loop of links" >&2; exit 1; }
  link=$(readlink "$target" && echo .) || exit 1; link=\${link%??}
  case $link in /*) target=$link ;; *) target=\${target%/*}/$link ;; esac
done
draft=\${target%/*}/.awaitvm-$2
`

/** Makes an unfinished file, which only its owner may read, where $1 can be written; prints where $1 leads. */
export const prepareScript = `${resolve}if [ -d "$target" ]; then echo "$1 is a folder" >&2; exit 1; fi
if [ -e "$target" ] && [ ! -f "$target" ]; then echo "$1 is no regular file" >&2; exit 1; fi
if [ -h "$1" ] && [ ! -e "$target" ]; then echo "$1 is a link to a file that is not there" >&2; exit 1; fi
umask 077; set -C; : >"$draft" || exit 1; set +C; printf %s "$target"
`

/** Makes a mode for chmod of the one that ls prints. */
const modeOf = String.raw`sed "s/^.\(...\)\(...\)\(...\).*/u=\1,g=\2,o=\3/; s/-//g; s/[st]/x&/g; y/ST/st/"`

const move = `if [ -d "$target" ]; then echo "$1 is a folder" >&2; exit 1; fi
take() { chown "$3:$4" "$draft" && chmod "$(echo "$1" | ${modeOf})" "$draft"; }
if [ -e "$target" ]; then take $(ls -dn "$target"); else chmod "$3" "$draft"; fi && mv -f "$draft" "$target"`

/** Gives the unfinished file the name that it is to have, with the owner and permissions of the file that it replaces, or $3. */
export const finishScript = `${resolve}${move}`

/** All of that with what comes on the standard input, whose cksum is to be $4; else the exit code is 3. Leaves no draft behind. */
export const receiveScript = `${prepareScript}trap 'rm -f "$draft"' EXIT
given=$(cat >"$draft" && cksum <"$draft") || exit 1
given=$(echo $given)
if [ "$given" != "$4" ]; then echo "cksum: $given, and not $4" >&2; exit 3; fi
${move}`

/** Prints the first $2 bytes of $1, and the cksum of them on the standard error. */
export const sendScript = `head -c "$2" <"$1" && head -c "$2" <"$1" | cksum >&2`

export const removeScript = `${resolve}rm -f "$draft"`

/** Throws unless $1 leads to a regular file that can be read; prints its size. Nobody may open a pipe: that waits without end. */
export const checkScript = `${rooted}if [ ! -e "$1" ]; then echo "$1 is not there" >&2; exit 1; fi
if [ ! -f "$1" ]; then echo "$1 is no regular file" >&2; exit 1; fi
[ -r "$1" ] || { echo "$1 can't be read" >&2; exit 1; }
set -- $(ls -dnL "$1") && echo "$5"`

/** The path of the unfinished file, as the scripts have it. */
export const draftPath = (target: string, number: string): string =>
  `${target.slice(0, target.lastIndexOf('/'))}/.awaitvm-${number}`
