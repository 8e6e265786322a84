/*
 * What the shell in the guest runs: one process that reads commands from a pipe, starts programs, and tells of them in a log. So a
 * program costs no start of a shell, and what it prints waits in pipes of the kernel: the agent tells a captured output only once
 * everything that holds it open has ended.
 *
 * All is in one folder, for the owner only. For the program N there are
 *
 *   N.o, N.e      the pipes that its outputs go to; the shell holds them open in both directions, so that nobody waits for the other side
 *   N.s           what the shell says of its end: not empty if a signal ended it
 *   N.d           made by those who take the output: the shell itself at the end of the program, or relays
 *   N.o.0, N.o.1  what was taken from its output, in turn, as N.e.0 and N.e.1
 *   N.p, N.q      pipes by which the relays are told that the next file may be written
 *   N.i, N.i.0, N.i.1, N.j   the same for its input
 *
 * and w.K, the pipe by which the worker K, a process of the shell, is given one program after another.
 *
 * The file `owner` tells whose shell it is, by two words: the process, and one of its connections to the host. Each shell tells of the
 * others in its guest, and ends those whose client has ended: programs get SIGTERM, by which scripts of the SDK remove drafts, and
 * SIGKILL ten seconds later. Only processes that hold the log of that shell open are taken for its own. A shell that was started just
 * before may not be told of yet: it ends by itself if its client sends it nothing.
 *
 * The log has lines of words, the first of which is the number of the program:
 *
 *   N begun PID PARENT
 *   N missing program|folder|pipe|port
 *   N ended CODE 1|0 WHERE   the code of the shell; whether a signal ended it; WHERE: 'o', 'e', 'oe' for files of outputs that are not
 *                            empty, '-' for none, 'relayed' if a mark in each output tells its end
 *   N o|e 0|1 PID            a relay writes to the next file
 *   N full                   a relay could not write
 *   N i 0|1                  a file of input was read; N i closed: the program reads no more
 *   N sent ID 1|0            whether a signal was sent
 *   0 ready PID              the shell has taken what it was sent
 *   0 other FOLDER OWNER     the folder of another shell
 */

/** The name of the port for much data, by which the guest finds it: /sys/class/virtio-ports. */
export const portName = 'awaitvm.bulk.0'

/** Names of variables begin with `awaitvm_`, since those of the program are set in the same shell right before it. */
export const functions = `
[ /proc/$5/fd/8 -ef l ] && kill $5
awaitvm_umask=$1; awaitvm_home=$2; awaitvm_mark=$3; awaitvm_port=$4; awaitvm_name=\${PWD##*/}; awaitvm_setsid=$(command -v setsid)
exec 3<>c.t; read -t 0 <&3; [ $? = 1 ] && echo >&3 && read -t 0 <&3 && awaitvm_peeks=1; exec 3>&-
say() { echo "$*" >&8; }
taken() { jobs; say 0 ready $$; }
run() {
  awaitvm_n=$1; awaitvm_dir=$2; awaitvm_env=$3; awaitvm_in=$4; shift 4
  trap : HUP INT QUIT TERM USR1 USR2 ALRM
  [ -p $awaitvm_n.o ] && [ -p $awaitvm_n.e ] || { say $awaitvm_n missing pipe; return; }
  exec 3<>$awaitvm_n.o 4<>$awaitvm_n.e 2>$awaitvm_n.s
  case $awaitvm_in in
  in) exec 5<&7 6>&3 ;;
  out) exec 5</dev/null 6>&7 ;;
  *) exec 5<$awaitvm_in 6>&3 ;;
  esac
  for awaitvm_parent in /proc/self/task/*; do :; done
  (
    for awaitvm_pid in /proc/self/task/*; do :; done
    cd -- "\${awaitvm_dir:-$awaitvm_home}" 2>/dev/null || { say $awaitvm_n missing folder; exit; }
    umask $awaitvm_umask
    export AWAITVM_PROGRAM=$awaitvm_name.$awaitvm_n.; unset OLDPWD
    eval "$awaitvm_env"
    case $1 in */*) [ -f "$1" ] && [ -x "$1" ] ;; *) command -v -- "$1" >/dev/null ;; esac || { say $awaitvm_n missing program; exit; }
    say $awaitvm_n begun \${awaitvm_pid##*/} \${awaitvm_parent##*/}
    exec $awaitvm_setsid "$@" 8>&-
  ) <&5 >&6 2>&4 3>&- 4>&- 5>&- 6>&- 7>&- 9>&-
  awaitvm_code=$?
  exec 2>/dev/null; awaitvm_signalled=0; [ -s $awaitvm_n.s ] && awaitvm_signalled=1
  set -C
  if true >$awaitvm_n.d; then
    set +C; awaitvm_where=
    take $awaitvm_n.o.0 <&3 && awaitvm_where=o
    take $awaitvm_n.e.0 <&4 && awaitvm_where=\${awaitvm_where}e
    say $awaitvm_n ended $awaitvm_code $awaitvm_signalled \${awaitvm_where:--}
  else
    say $awaitvm_n ended $awaitvm_code $awaitvm_signalled relayed
    set +C; printf %s $awaitvm_mark >&3; printf %s $awaitvm_mark >&4
  fi
  [ $awaitvm_in != out ] || printf %s $awaitvm_mark >&7
  exec 3>&- 4>&- 5>&- 6>&-
}
work() {
  exec 9<>w.$1; shift; "$@"
  while IFS= read -r awaitvm_line <&9; do eval "$awaitvm_line"; done
}
give() { printf '%s\\n' "$2" 1<>w.$1; }
dismiss() { for awaitvm_f in w.*; do echo exit 1<>$awaitvm_f; done; }
bulk() {
  awaitvm_word=$1; shift; awaitvm_has=
  {
    read -r awaitvm_x <&7 && [ "$awaitvm_x" = $awaitvm_word ] && awaitvm_has=1 && echo $awaitvm_word >&7 && run "$@"
  } 7<>$awaitvm_port
  [ -n "$awaitvm_has" ] || say $1 missing port
}
take() {
  if [ -n "$awaitvm_peeks" ]; then read -t 0 || return; dd bs=64k count=1 of=$1; return; fi
  exec 5<&0; dd bs=64k count=1 of=$1 <&5 & printf %s $awaitvm_mark 1<>\${1%.0}; wait $!
}
live() {
  exec 3<>$1.o 4<>$1.e
  if (set -C; true >$1.d) && mkfifo $1.p $1.q; then
    relay $1 o $1.p <&3 & helper $1 $!
    relay $1 e $1.q <&4 & helper $1 $!
  fi
  exec 3>&- 4>&-
}
relay() {
  exec 6<&0 3>&- 4>&- 5<>$3; awaitvm_i=0; echo >&5; echo >&5
  while read -r awaitvm_x <&5; do
    true >$1.$2.$awaitvm_i
    trap 'kill $!; exit' TERM
    dd bs=32k count=64 of=$1.$2.$awaitvm_i <&6 &
    say $1 $2 $awaitvm_i $!
    wait $! || { say $1 full; exit; }
    trap - TERM
    awaitvm_i=$((1-awaitvm_i))
  done
}
open_feed() { mkfifo $1.i $1.j && { feed $1 & helper $1 $!; } 5<>$1.j; }
feed() {
  exec 6>$1.i
  while read -r awaitvm_i <&5; do
    [ $awaitvm_i = end ] && exit
    trap 'kill $!; exit' TERM
    cat $1.i.$awaitvm_i >&6 &
    wait $! || { say $1 i closed; exit; }
    trap - TERM
    say $1 i $awaitvm_i
  done
}
isours() {
  awaitvm_k=; while read -r awaitvm_k awaitvm_v; do [ $awaitvm_k = PPid: ] && break; done <"/proc/$1/status"
  [ "$awaitvm_k $awaitvm_v" = "PPid: $2" ]
}
signal() { awaitvm_s=0; isours $4 $5 && kill -$3 $4 && awaitvm_s=1; say $1 sent $2 $awaitvm_s; }
helper() { eval "awaitvm_helpers$1=\\"\\$awaitvm_helpers$1 $2\\""; }
leave() {
  eval "set -- '$2' \\$awaitvm_helpers$1; unset awaitvm_helpers$1"
  [ -z "$1" ] || { isours $1 $$ && kill -KILL $1; }
  shift
  for awaitvm_p; do isours $awaitvm_p $$ && kill -TERM $awaitvm_p; done
}
stop() {
  isours $3 $4 || { say $1 sent $2 0; exit; }
  end KILL $1 $3; say $1 sent $2 1
}
end() {
  awaitvm_end=$1; awaitvm_all=" $3 "; awaitvm_firsts=$awaitvm_all; awaitvm_more=1
  awaitvm_marks="AWAITVM_PROGRAM=$awaitvm_name[.]($2)[.]"; kill -STOP $3
  while [ -n "$awaitvm_more" ]; do
    awaitvm_more=
    awaitvm_marked=" $(grep -Eals "$awaitvm_marks" /proc/[0-9]*/environ | tr '\\n' ' ') "
    for awaitvm_f in /proc/[0-9]*/stat; do
      awaitvm_p=\${awaitvm_f#/proc/}; awaitvm_p=\${awaitvm_p%/stat}
      case $awaitvm_all in *" $awaitvm_p "*) continue ;; esac
      read -r awaitvm_l <$awaitvm_f || continue
      set -- \${awaitvm_l##*) }
      case "$awaitvm_firsts:$awaitvm_all$awaitvm_marked" in *" $4 "*:* | *:*" $2 "* | *" /proc/$awaitvm_p/environ "*) ;; *) continue ;; esac
      kill -STOP $awaitvm_p && awaitvm_all="$awaitvm_all$awaitvm_p " awaitvm_more=1
    done
  done
  kill -$awaitvm_end $awaitvm_all; kill -CONT $awaitvm_all
}
others() {
  awaitvm_x='[0-9a-f][0-9a-f][0-9a-f]'; awaitvm_x=$awaitvm_x$awaitvm_x$awaitvm_x$awaitvm_x
  for awaitvm_f in /run/awaitvm-$awaitvm_x/owner /tmp/awaitvm-$awaitvm_x/owner; do
    awaitvm_d=\${awaitvm_f%/*}
    [ "$awaitvm_d" != "$PWD" ] && [ -O "$awaitvm_d" ] && [ ! -h "$awaitvm_d" ] && read -r awaitvm_x <"$awaitvm_f" && say 0 other "$awaitvm_d" "$awaitvm_x"
  done
}
running() {
  while read -r awaitvm_n awaitvm_x awaitvm_p awaitvm_l; do
    [ "$awaitvm_x" = begun ] && [ "/proc/$awaitvm_l/fd/8" -ef l ] && isours $awaitvm_p $awaitvm_l && echo $awaitvm_n $awaitvm_p
  done <l
}
sweep() {
  cd "$1" && exec 8>>l 9>&- || exit
  awaitvm_dir=$1; awaitvm_name=\${1##*/}; read -r awaitvm_me awaitvm_x </proc/self/stat
  for awaitvm_s in TERM '' '' '' '' '' '' '' '' '' KILL KILL KILL; do
    set -- $(running); [ $# != 0 ] || break
    awaitvm_ns=; awaitvm_ps=
    while [ $# != 0 ]; do awaitvm_ns=$awaitvm_ns\${awaitvm_ns:+'|'}$1; awaitvm_ps="$awaitvm_ps $2"; shift 2; done
    [ -z "$awaitvm_s" ] || end $awaitvm_s "$awaitvm_ns" "$awaitvm_ps"
    sleep 1
  done
  for awaitvm_f in /proc/[0-9]*; do
    awaitvm_p=\${awaitvm_f#/proc/}
    [ $awaitvm_p != $awaitvm_me ] && [ $awaitvm_f/cwd -ef . ] && [ $awaitvm_f/fd/8 -ef l ] && kill -KILL $awaitvm_p
  done
  rm -rf "$awaitvm_dir"
}
others
`

/**
 * Makes the folder and starts the shell, and a process that ends it if its client sends nothing for a minute: that client may have
 * ended, or may not know that the shell was started, since an answer of the agent was lost. Prints the folder, and the port for much data if the guest has it; exits with 3 if the guest
 * has no /proc, and with 4 if it has no room.
 */
export const startScript = `awaitvm_umask=$(umask); umask 077; home=$PWD
[ -r /proc/self/stat ] || exit 3
d=/run/$1; mkdir "$d" 2>/dev/null || { d=/tmp/$1; mkdir "$d" || exit 4; }
cd "$d" && echo "$3" >owner && mark=$2 && shift 3 && mkfifo c c.t "$@" && true >l || exit 4
echo "$d"; port=
for f in /sys/class/virtio-ports/*/name; do
  [ -r "$f" ] && read -r name <"$f" && [ "$name" = ${portName} ] && f=\${f%/name} && port=/dev/\${f##*/} && echo "$port"
done
{ trap 'kill $!; exit' TERM; sleep 60 & wait $! && echo exit >&9 && rm -rf "$d"; } 8>>l 9<>c </dev/null >/dev/null 2>&1 &
/bin/sh ./c "$awaitvm_umask" "$home" "$mark" "$port" $! 8>>l 9<>c </dev/null >/dev/null 2>&1 &`

/** Prints those of the processes that are not there any more. */
export const lookScript = `for p; do
  if read -r line <"/proc/$p/stat"; then case \${line##*) } in [ZX]*) echo "$p" ;; esac; else echo "$p"; fi
done 2>/dev/null`
