import { readdir, realpath } from 'node:fs/promises'
import { errorCode } from '../../../errors/native.js'
import { identityOf, isAlive, type ProcessIdentity } from '../../../registry/process-identity.js'
import { isOwnStray, isStray, placeOf, removedFolderOf, signalStray, signalStrayCompanion } from './own-qemu.js'
import { hasEnded, stepMs } from './qemu-end.js'

interface StrayVm {
  readonly id: string
  readonly name: string
}

/** Ends the QEMUs, and their companions, of VMs whose folders were removed while no process was connected to the directory. */
export async function endStrays(vms: string): Promise<void> {
  const prefix = `${await realpath(vms)}/`
  for (const entry of await processes()) {
    const pid = Number(entry)
    const folder = Number.isInteger(pid) ? removedFolderOf(pid) : undefined
    if (folder?.startsWith(prefix) !== true) continue
    const id = folder.slice(prefix.length)
    const identity = identityOf(pid, false)
    if (isOwnStray(id, identity)) await endStray({ id, name: id }, folder, identity)
    else signalStrayCompanion(identity, 'SIGKILL')
  }
}

/** Empty on a system without /proc. */
async function processes(): Promise<string[]> {
  try {
    return await readdir('/proc')
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}

/**
 * Ends the QEMU of a VM whose folder was removed, since no later connection would find it. If the folder was moved instead, QEMU
 * runs on, and a warning says where, unless the folder belongs to another directory.
 */
export async function seeToStray(
  vm: StrayVm,
  folder: string,
  identity: ProcessIdentity,
  ownerOf: (folder: string) => Promise<string | undefined>,
): Promise<void> {
  if (isStray(vm.id, identity)) return endStray(vm, folder, identity)
  const place = placeOf(vm.id, identity)
  if (place === undefined || (await ownerOf(place)) !== undefined) return
  const what = `the folder of the VM ${JSON.stringify(vm.name)} was moved to ${place} while it ran`
  const advice = `move the folder back to ${folder}, or end the process`
  warn(`${what}, and its QEMU, the process ${String(identity.pid)}, runs on there: ${advice}`)
}

async function endStray({ id, name }: StrayVm, folder: string, identity: ProcessIdentity): Promise<void> {
  let isEnded = false
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    isEnded ||= signalStray(id, identity, signal) && (await hasEnded(folder, identity, stepMs))
  }
  const isGone = isEnded || !isAlive(identity, folder)
  const what = `the folder of the VM ${JSON.stringify(name)} was removed while it ran`
  warn(`${what}, and its QEMU, the process ${String(identity.pid)}, ${isGone ? 'was ended' : 'does not end'}`)
}

const warn = (message: string): void => {
  process.emitWarning(message, 'AwaitvmWarning')
}
