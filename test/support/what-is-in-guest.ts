import type { Vm } from 'awaitvm'

/**
 * The processes of the guest that are neither threads of its kernel nor what serves this look: its SSH server and the guards of its
 * connections, which are kept for some time, and the shell that QEMU's agent has started. And the files that programs may leave.
 */
const look = `own=/run/\${AWAITVM_PROGRAM%%.*}
for process in /proc/[0-9]*; do
  [ ! "$process/cwd" -ef "$own" ] || continue
  words=$(tr '\\0\\n' '  ' 2>/dev/null <"$process/cmdline")
  case "$words" in '' | *cmdline* | sshd:* | *awaitvm-guard*) ;; *) echo "$words" ;; esac
done | sort
ls -A /run /tmp /root /dev/shm 2>/dev/null | grep -vx "\${own##*/}"
true`

/** What runs in a guest and what programs may leave there, a line each. */
export const whatIsInGuest = async (vm: Vm): Promise<string[]> =>
  (await vm.guest.exec(['sh', '-c', look]).unwrap()).stdout.split('\n')
