/** OpenSSH's scp, a process for each copy. */
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

export interface SshAddress {
  readonly port: number
  /** The file with the user's private key. */
  readonly userKey: string
  /** The public host key. */
  readonly hostKey: string
}

/** Copies a file to or from a guest; the guest's path begins with `guest:`. */
export type Scp = (from: string, to: string) => Promise<void>

export async function scpTo(folder: string, { port, userKey, hostKey }: SshAddress): Promise<Scp> {
  const knownHosts = join(folder, 'known_hosts')
  await writeFile(knownHosts, `[127.0.0.1]:${port} ${hostKey}\n`)
  const options = [
    ...['-q', '-F', 'none', '-P', String(port), '-i', userKey],
    ...['-o', `UserKnownHostsFile=${knownHosts}`, '-o', 'StrictHostKeyChecking=yes', '-o', 'BatchMode=yes'],
  ]
  const run = promisify(execFile)
  return async (from, to) => {
    await run('scp', [...options, ...[from, to].map((path) => path.replace(/^guest:/, 'root@127.0.0.1:'))])
  }
}
