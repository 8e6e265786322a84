/*
 * Shell scripts for the files of a guest. Paths begin with a slash or a dot. Beyond POSIX, the scripts need what GNU's programs and
 * busybox have: `stat -c`, `readlink`, `head -c` and `mv -T`. They tell an errno by the message that programs have for it, at the end of
 * the last line on standard error.
 */

/** `fail PATH MESSAGE`, `need PROGRAM`, and `there PATH`, which fails with the reason why a file can't be looked at. */
const prelude = `fail() { echo "$1: $2" >&2; exit 1; }
need() { command -v "$1" >/dev/null || { echo "$1" >&2; exit 69; }; }
there() { [ -e "$1" ] || ls -dL "$1" >/dev/null || exit 1; }
`

/** Fails unless $1 is a file that can be read. A pipe must not be opened: that could block forever. */
const readable = `${prelude}there "$1"; need stat
file() { [ -f "$1" ] || fail "$1" "Invalid argument"; [ -r "$1" ] || fail "$1" "Permission denied"; }
`

/** Prints the size of the file $1 in a line, then its bytes from the number $2 on; only $3 of them, if that is not empty. */
export const readFileScript = `${readable}[ ! -d "$1" ] || fail "$1" "Is a directory"; file "$1"
stat -L -c %s "$1" || exit 1
if [ -n "$3" ]; then tail -c "+$(($2 + 1))" <"$1" | head -c "$3"
elif [ "$2" = 0 ]; then cat <"$1"
else tail -c "+$(($2 + 1))" <"$1"; fi`

/**
 * Prints a line on what $1 is. For a file, its size, permissions and time follow, then its bytes. `cat` is by far the fastest way to send
 * them, but goes on if the file grows: the reader stops at the size. For a folder, the number of bytes in its files follows, then an
 * archive of it.
 */
export const sendScript = `${readable}if [ -d "$1" ]; then
need tar; need find
[ -r "$1" ] && cd "$1" || fail "$1" "Permission denied"
find . -type f -exec stat -c %s {} + | { total=0; while read -r size; do total=$((total + size)); done; echo "directory $total"; }
exec tar -cf - .
fi
file "$1"
stat -L -c "file %s %a %Y" "$1" || exit 1
cat "$1" 2>/dev/null || fail "$1" "Input/output error"`

/** Prints the type and permissions in hexadecimal, size, owner, group and times of $1, of what a link leads to if $2 is -L, and a link's target. */
export const statScript = `${prelude}need stat
stat $2 -c "%f %s %u %g %.9Y %.9X %.9Z" "$1" || exit 1
if [ -z "$2" ] && [ -h "$1" ]; then readlink "$1"; fi`

/** Prints the names in the folder $1, each with its type before and a slash after it, but not more than $2. */
export const listScript = `${prelude}there "$1"; [ -d "$1" ] || fail "$1" "Not a directory"
[ -r "$1" ] && cd "$1" || fail "$1" "Permission denied"
count=0
for name in * .[!.]* ..?*; do
if [ -h "./$name" ]; then type=l; elif [ -d "./$name" ]; then type=d; elif [ -f "./$name" ]; then type=f
elif [ -e "./$name" ]; then type=o; else continue; fi
count=$((count + 1)); [ "$count" -le "$2" ] || exit 0
printf "%s%s/" "$type" "$name"
done`

/** Makes the folder $1 with the permissions $2, if that is not empty; with those above it if $3 is -p. */
export const makeFolderScript = `mkdir $3 \${2:+-m "$2"} "$1"`

/** Removes $1; all that is in it if $2 is not empty; does nothing if it is not there and $3 is not empty. */
export const removeScript = `${prelude}if [ ! -e "$1" ] && [ ! -h "$1" ]; then
said=$(ls -d "$1" 2>&1)
case $said in *"No such file or directory") [ -z "$3" ] || exit 0 ;; esac
echo "$said" >&2; exit 1
fi
if [ -n "$2" ]; then rm -rf "$1"; elif [ -d "$1" ] && [ ! -h "$1" ]; then fail "$1" "Is a directory"; else rm -f "$1"; fi`

/** Renames $1 to $2. An exit code of 1 is about $1, and 2 about $2. */
export const renameScript = `${prelude}[ -e "$1" ] || [ -h "$1" ] || { ls -d "$1" >/dev/null; exit 1; }
about() { echo "$2: $1" >&2; exit 2; }
folder() { [ -d "$1" ] && [ ! -h "$1" ]; }
if folder "$1"; then
if folder "$2"; then [ "$1" -ef "$2" ] || rmdir "$2" || exit 2; elif [ -e "$2" ] || [ -h "$2" ]; then about "Not a directory" "$2"; fi
elif folder "$2"; then about "Is a directory" "$2"; fi
[ "$1" -ef "$2" ] && [ ! -h "$1" ] && [ ! -h "$2" ] && exit 0
case $2/ in "$1"/*) about "Invalid argument" "$2" ;; esac
mv -fT "$1" "$2" || exit 2`

/** Sets `target` to the file that $1 leads to, and `draft` to an unfinished file with the number $2 in the same folder. */
const follow = `${prelude}target=$1; hops=0
while [ -h "$target" ]; do
hops=$((hops + 1)); [ "$hops" -le 40 ] || fail "$1" "Too many levels of symbolic links"
link=$(readlink "$target" && echo .) || exit 1; link=\${link%??}
case $link in /*) target=$link ;; *) target=\${target%/*}/$link ;; esac
done
parent=\${target%/*}/; draft=$parent.awaitvm-$2
`

/** Makes sure that the draft can be made, and is removed at the end. */
const prepare = `${follow}[ -e "$target" ] || [ ! -h "$1" ] || fail "$1" "No such file or directory"
there "$parent"; [ -d "$parent" ] || fail "$parent" "Not a directory"
[ -w "$parent" ] && [ -x "$parent" ] || fail "$parent" "Permission denied"
trap "rm -rf \\"\\$draft\\"" EXIT; trap "exit 1" HUP INT PIPE TERM
umask 077
`

/**
 * Writes what it reads to the file $1, by way of a draft with the number $2. The input ends with the mark $3 and the size of what is
 * before it, in 20 places; else the exit code is 3. A new file gets the permissions $4, if that is not empty. $5 is the time of the
 * file, as touch takes it, and $6 the owner, if they are not empty; the exit code is 4 if the owner is refused. What is read goes to
 * the end of the file if $7 is not empty.
 */
export const receiveScript = `[ -n "$4" ] || mask=$(umask)
${prepare}[ ! -d "$target" ] || fail "$1" "Is a directory"
if [ -e "$target" ]; then
[ -f "$target" ] || fail "$1" "Invalid argument"; [ -w "$target" ] || fail "$1" "Permission denied"
fi
set -C; : >"$draft" || exit 1; set +C
cat >"$draft" || exit 1
size=$(($(wc -c <"$draft") - 52))
end=$(tail -c 52 "$draft")
case $end in "$3"*) [ "$((\${end#"$3"}))" = "$size" ] || exit 3 ;; *) exit 3 ;; esac
dd if=/dev/null of="$draft" bs=1 seek="$size" 2>/dev/null || fail "$draft" "Input/output error"
if [ -e "$target" ] && [ -n "$7" ]; then cat "$draft" >>"$target"; exit; fi
if [ -e "$target" ]; then chown "$(stat -c %u:%g "$target")" "$draft" && chmod "$(stat -c %a "$target")" "$draft"
elif [ -n "$4" ]; then chmod "$4" "$draft"; else umask "$mask"; chmod =rw "$draft"; fi || exit 1
[ -z "$6" ] || { mode=$(stat -c %a "$draft"); chown "$6" "$draft" && chmod "$mode" "$draft"; } || exit 4
[ -z "$5" ] || TZ=UTC0 touch -m -t "$5" "$draft" || exit 1
[ ! -d "$target" ] || fail "$1" "Is a directory"
mv -f "$draft" "$target" && trap - EXIT`

/**
 * Unpacks the archive that it reads to the folder $1, which must not be there or be empty, by way of a draft with the number $2. The
 * archive has the folder as \`content\`, and at its end the file $3 with the number of its entries and that of line feeds in their
 * names; else the exit code is 3. The script $3.times is for the tar of busybox. $4 is the owner, as above.
 */
export const receiveFolderScript = `${prepare}need tar
if [ -d "$target" ]; then
[ -z "$(ls -A "$target")" ] || fail "$1" "Directory not empty"
elif [ -e "$target" ]; then fail "$1" "Not a directory"; fi
mkdir "$draft" || exit 1
tar -xpovf - -C "$draft" >"$draft/list" || exit 1
[ -f "$draft/$3" ] && [ -d "$draft/content" ] && read -r count feeds <"$draft/$3" || exit 3
lines=$(($(wc -l <"$draft/list")))
[ "$lines" = "$count" ] || [ "$lines" = "$((count + feeds))" ] || exit 3
[ -z "$4" ] || chown -hR "$4" "$draft/content" || exit 4
case $(tar --version 2>&1) in *busybox*) (cd "$draft" && . "./$3.times") || exit 1 ;; esac
[ ! -d "$target" ] || rmdir "$target" || exit 1
mv -T "$draft/content" "$target"`

/** Removes the draft of one of the two scripts above. */
export const removeDraftScript = `${follow}rm -rf "$draft"`
