import { isAlive, type ProcessIdentity } from '../../../registry/process-identity.js'
import { endLeftCompanions } from './companion.js'
import { endQemu } from './qemu-end.js'
import { findOrphan } from './qemu-process.js'
import { readRun } from './run-record.js'

/** The QEMU that runs a VM, also one that its owner left without a record. */
export async function findQemuOf(folder: string, id: string): Promise<ProcessIdentity | undefined> {
  const run = readRun(folder)
  return run !== undefined && isAlive(run.process, folder) ? run.process : findOrphan(folder, id, true)
}

/** Ends the QEMU that runs a VM, if there is one, and its companions. */
export async function endQemuOf(folder: string, id: string): Promise<void> {
  const running = await findQemuOf(folder, id)
  if (running !== undefined) await endQemu(folder, running)
  await endLeftCompanions(folder)
}
