import { isIP } from 'node:net'
import * as v from 'valibot'
import { ProtocolError } from '../errors.js'
import type { GuestInfo } from '../model/guest-info.js'
import type { NetworkAddress } from '../model/network-address.js'
import { runScript, type InGuest } from './run-script.js'

/** Prints a line each: the system, its kernel, the host name, the time, the users; then /etc/os-release, by os-release(5). */
const infoScript = `uname -s; uname -r; uname -n; date +%s; who 2>/dev/null | cut -d " " -f 1 | sort -u | tr "\\n" " "; echo
for file in /etc/os-release /usr/lib/os-release; do [ ! -r "$file" ] || { head -c 16384 "$file"; break; }; done; exit 0`

const infoSchema = v.tupleWithRest(
  [
    v.pipe(v.string(), v.nonEmpty()),
    v.pipe(v.string(), v.nonEmpty()),
    v.string(),
    v.pipe(v.string(), v.digits(), v.maxLength(12), v.transform(Number)),
    v.string(),
  ],
  v.string(),
)

/** What the guest tells of itself. */
export async function getInfo(guest: InGuest): Promise<GuestInfo> {
  const answer = await runScript(guest, '/etc/os-release', { text: infoScript, args: [], isHarmless: true })
  const told = v.safeParse(infoSchema, answer.toString().split('\n'))
  if (!told.success) throw new ProtocolError({ reason: 'the guest does not tell of itself as Linux does' })
  const [system, kernel, hostName, time, users, ...release] = told.output
  const distribution = releaseField(release, 'ID')
  const version = releaseField(release, 'VERSION_ID')
  return {
    system,
    ...(distribution !== undefined && { distribution }),
    ...(version !== undefined && { version }),
    kernel,
    hostName,
    users: users.split(' ').filter((user) => user !== ''),
    time: new Date(time * 1000),
  }
}

/** A field of os-release, whose values may be quoted as in a shell. */
function releaseField(lines: readonly string[], name: string): string | undefined {
  const value = lines
    .find((line) => line.startsWith(`${name}=`))
    ?.slice(name.length + 1)
    .trim()
  return value === undefined || value === '' ? undefined : value.replace(/^(["'])(.*)\1$/, '$2').replace(/\\(.)/g, '$1')
}

/** Prints the addresses as `ip -o` of iproute2 and busybox does, then a line for each interface with its hardware address. */
const addressesScript = `command -v ip >/dev/null || { echo ip >&2; exit 69; }
ip -o addr || exit 1
for device in /sys/class/net/*; do [ ! -r "$device/address" ] || echo "mac \${device##*/} $(cat "$device/address")"; done`

/** The addresses of the guest. */
export async function getNetworkAddresses(guest: InGuest): Promise<NetworkAddress[]> {
  const answer = await runScript(guest, '/sys/class/net', { text: addressesScript, args: [], isHarmless: true })
  const lines = answer
    .toString()
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  const macs = new Map(lines.flatMap(([first, name = '', mac = '']) => (first === 'mac' ? [[name, mac] as const] : [])))
  return lines.flatMap(([, name = '', family, prefix = '']) => {
    const [address = ''] = prefix.split('/')
    const version = family === 'inet' || family === 'inet6' ? isIP(address) : 0
    if (version === 0) return []
    const macAddress = macs.get(name)?.toLowerCase() ?? ''
    return [
      {
        interfaceName: name,
        address,
        family: version === 4 ? ('ipv4' as const) : ('ipv6' as const),
        ...(/^(?:[0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(macAddress) && { macAddress }),
      },
    ]
  })
}
