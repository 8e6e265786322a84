/*
 * What copies of files do in a guest, in the language of a POSIX shell. They follow links as cp does: what a link leads to is
 * replaced, in its own folder and in one step. `readlink` is all that they need beyond POSIX.
 */

/** Sets `target` to what $1 leads to, and `draft` to an unfinished file of the number $2 in the same folder. */
const resolve = `target=$1; hops=0
while [ -h "$target" ]; do
  hops=$((hops + 1)); [ "$hops" -le 40 ] || { echo "$1 is a loop of links" >&2; exit 1; }
  link=$(readlink "$target" && echo .) || exit 1; link=\${link%??}
  case $link in /*) target=$link ;; *) case $target in */*) target=\${target%/*}/$link ;; *) target=$link ;; esac ;; esac
done
case $target in */*) draft=\${target%/*}/.awaitvm-$2 ;; *) draft=.awaitvm-$2 ;; esac
`

/** Makes an unfinished file, which only its owner may read, where $1 can be written; prints where $1 leads. */
export const prepareScript = `${resolve}if [ -d "$target" ]; then echo "$1 is a folder" >&2; exit 1; fi
if [ -e "$target" ] && [ ! -f "$target" ]; then echo "$1 is no regular file" >&2; exit 1; fi
if [ -h "$1" ] && [ ! -e "$target" ]; then echo "$1 is a link to a file that is not there" >&2; exit 1; fi
umask 077; set -C; : >"$draft" || exit 1; set +C; printf %s "$target"
`

const move = `if [ -d "$target" ]; then echo "$1 is a folder" >&2; exit 1; fi
chmod "$3" "$draft" && mv -f "$draft" "$target"`

/** Gives the unfinished file the permissions $3 and the name that it is to have. */
export const finishScript = `${resolve}${move}`

/** All of that with what comes on the standard input, whose cksum is to be $4; else the exit code is 3. */
export const receiveScript = `${prepareScript}given=$(cat >"$draft" && cksum <"$draft")
given=$(echo $given)
if [ "$given" != "$4" ]; then rm -f "$draft"; echo "cksum: $given, and not $4" >&2; exit 3; fi
${move}`

/** Prints the first $2 bytes of $1, and the cksum of them on the standard error. */
export const sendScript = `head -c "$2" <"$1" && head -c "$2" <"$1" | cksum >&2`

export const removeScript = `${resolve}rm -f "$draft"`

/** Throws unless $1 leads to a regular file that can be read; prints its size. Nobody may open a pipe: that waits without end. */
export const checkScript = `if [ ! -e "$1" ]; then echo "$1 is not there" >&2; exit 1; fi
if [ ! -f "$1" ]; then echo "$1 is no regular file" >&2; exit 1; fi
[ -r "$1" ] || { echo "$1 can't be read" >&2; exit 1; }
set -- $(ls -dnL "$1") && echo "$5"`

/** The path of the unfinished file, as the scripts have it. */
export const draftPath = (target: string, number: string): string => {
  const end = target.lastIndexOf('/')
  return `${end < 0 ? '' : `${target.slice(0, end)}/`}.awaitvm-${number}`
}
