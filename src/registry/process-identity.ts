import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import * as v from 'valibot'

/** A process, told apart from a later one of the same pid. */
export const processIdentitySchema = v.object({
  /** As it can be a part of a file's name. */
  host: v.string(),
  pid: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Changes with each start of the machine; empty where the system does not tell. */
  boot: v.string(),
  /** When the process began, in the system's own unit; empty where the system does not tell. */
  began: v.string(),
})

export type ProcessIdentity = Readonly<v.InferOutput<typeof processIdentitySchema>>

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, 'latin1')
  } catch (error) {
    // No such process, or a system without /proc.
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ESRCH'))
      return undefined
    throw error
  }
}

/**
 * Field 22 of /proc/PID/stat (proc(5)); the name in field 2 may hold anything, so it is counted from its end. A process that
 * has ended, and whose parent has not looked yet, counts as gone.
 */
const beganAt = (pid: number): string | undefined => {
  const stat = read(`/proc/${String(pid)}/stat`)
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields?.[0] === 'Z' ? undefined : fields?.[19]
}

/** Names of hosts have 64 characters at most on Linux, and hardly ever any that is encoded. */
const maxHostLength = 128

let own: ProcessIdentity | undefined

export const ownIdentity = (): ProcessIdentity =>
  (own ??= {
    host: encodeURIComponent(hostname()).slice(0, maxHostLength),
    pid: process.pid,
    boot: read('/proc/sys/kernel/random/boot_id')?.trim() ?? '',
    began: beganAt(process.pid) ?? '',
  })

/** A process of this host that runs at present. */
export const identityOf = (pid: number): ProcessIdentity => ({ ...ownIdentity(), pid, began: beganAt(pid) ?? '' })

/** Whether the process still runs. One of another host can't be asked, and counts as running. */
export function isAlive({ host, pid, boot, began }: ProcessIdentity): boolean {
  const self = ownIdentity()
  if (host !== self.host) return true
  if (boot !== self.boot) return false
  if (began !== '') return beganAt(pid) === began
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
