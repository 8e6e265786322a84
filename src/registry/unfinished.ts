import { mkdir, rename, rm } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Membership } from './membership.js'
import { namesIn } from './names-in.js'
import { formatIdentity, parseIdentity } from './process-identity.js'

/*
 * Folders of VMs that are being created, with the creator, or being deleted: `unfinished/new-PROCESS-ID`, `unfinished/gone-ID`. They
 * are beside the folder of VMs, which so changes only if a VM comes or goes.
 */
const pattern = /^(?:new-(?<maker>.*)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|gone-.*)$/

/** Makes the folder in which a VM is created. */
export async function beginFolder(root: string, member: Membership, id: string): Promise<string> {
  const folder = join(await unfinishedIn(root), `new-${formatIdentity(member.identity)}-${id}`)
  await mkdir(folder, { mode: 0o700 })
  return folder
}

/** Takes the folder of a VM out of the directory, atomically. Returns its new path; it is to be removed. */
export async function setAside(root: string, folder: string): Promise<string> {
  const gone = join(await unfinishedIn(root), `gone-${basename(folder)}`)
  await rename(folder, gone)
  return gone
}

/** Removes VMs that dead processes left half created or half deleted. */
export async function sweepUnfinished(root: string, member: Membership): Promise<void> {
  const unfinished = join(root, 'unfinished')
  for (const name of await namesIn(unfinished)) {
    const match = pattern.exec(name)
    if (match === null) continue
    const { maker } = match.groups ?? {}
    const identity = maker === undefined ? undefined : parseIdentity(maker)
    // A folder is abandoned only if its creator is known and gone.
    if (maker !== undefined && (identity === undefined || member.isAlive(identity))) continue
    await rm(join(unfinished, name), { recursive: true, force: true }).catch((error: unknown) => {
      // The leftover of another user does no harm.
      process.emitWarning(`${join(unfinished, name)} can't be removed: ${String(error)}`, 'AwaitvmWarning')
    })
  }
}

async function unfinishedIn(root: string): Promise<string> {
  const folder = join(root, 'unfinished')
  await mkdir(folder, { recursive: true, mode: 0o700 })
  return folder
}
