import { isIPv4, isIPv6 } from 'node:net'
import type { DriverInputs } from '../driver/driver.js'
import type { Task } from '../driver/task.js'
import { InvalidArgumentError } from '../errors.js'
import type { GuestHost } from './guest-way.js'
import { pollGuest } from './poll-guest.js'
import { requireSuccess, tryScript } from './run-script.js'

/** How long the script looks, in seconds. It goes on no longer if nobody waits for it any more. */
const lookSeconds = 20

/**
 * Ends with 0 once a socket listens (state 0A) at the port $3 in hexadecimal, at any address if $1 is empty, else at one that is in $1;
 * and with 3 if none does for $2 seconds. The tables are those of proc_net_tcp.txt of Linux.
 */
const portScript = `[ -r /proc/net/tcp ] || { echo "/proc/net/tcp: No such file or directory" >&2; exit 1; }
ends=$(($(date +%s) + $2))
while :; do
for table in /proc/net/tcp /proc/net/tcp6; do
[ -r "$table" ] || continue
while read -r number local remote state rest; do
[ "$state" = 0A ] && [ "\${local##*:}" = "$3" ] || continue
[ -n "$1" ] || exit 0
case $1 in *" \${local%:*} "*) exit 0 ;; esac
done <"$table"
done
[ "$(date +%s)" -lt "$ends" ] || exit 3
sleep 0.1 2>/dev/null || sleep 1
done`

/** Waits until a program of the guest listens at a TCP port. */
export async function waitForPort(
  host: GuestHost,
  { vm, port, host: address }: DriverInputs['guest.waitForPort'],
  task: Task,
): Promise<void> {
  const { signal, operation } = task
  const at = address === undefined ? '' : ` ${listenedAddresses(address).join(' ')} `
  const args = [at, String(lookSeconds), port.toString(16).toUpperCase().padStart(4, '0')]
  const script = { text: portScript, args, isHarmless: true }
  await pollGuest(host, vm, task, async (way) => {
    const end = await tryScript({ way, operation, signal }, script)
    if (end.exitCode === 3) return undefined
    requireSuccess({ way, operation, signal }, '/proc/net/tcp', end)
    return true
  })
}

/** What /proc/net/tcp has for sockets that can be reached at an address: also those that listen at all addresses. */
function listenedAddresses(host: string): string[] {
  const own = host === 'localhost' ? ['127.0.0.1', '::1'] : [host]
  return ['00000000', '0'.repeat(32), ...own.flatMap(inHexadecimal)]
}

/** Each word of four bytes is printed as a number, with the first byte last on the processors that Linux mostly runs on. */
function inHexadecimal(address: string): string[] {
  if (isIPv4(address)) {
    const word = inWords(address.split('.').map(Number))
    return [word, `${'0'.repeat(16)}FFFF0000${word}`]
  }
  if (isIPv6(address) && !address.includes('%')) return [inWords(bytesOf(address))]
  throw new InvalidArgumentError({
    path: 'options.host',
    reason: `options.host is ${JSON.stringify(address)}, which is no IP address`,
    hint: "Name an address of the guest, or 'localhost'.",
  })
}

function inWords(bytes: readonly number[]): string {
  const words: string[] = []
  for (let at = 0; at < bytes.length; at += 4) {
    words.push(
      Buffer.from(bytes.slice(at, at + 4).reverse())
        .toString('hex')
        .toUpperCase(),
    )
  }
  return words.join('')
}

/** The bytes of an IPv6 address. */
function bytesOf(address: string): number[] {
  // A URL has the address in its normal form, without an IPv4 part.
  const plain = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const [before = '', after] = plain.split('::')
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16))
  const [first, last] = [groups(before), groups(after ?? '')]
  const zeros = Array.from({ length: 8 - first.length - last.length }, () => 0)
  return [...first, ...zeros, ...last].flatMap((group) => [group >> 8, group & 0xff])
}
