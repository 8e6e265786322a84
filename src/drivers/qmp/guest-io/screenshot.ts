import { closeSync, constants } from 'node:fs'
import { rm } from 'node:fs/promises'
import { openOwnFile, readOwnBytes } from '../../../registry/own-file.js'
import { draftIn } from '../../../registry/replace-file.js'
import type { RunningVm } from '../vm-access.js'

/** More than the largest screen of a VGA has. */
const maxImageBytes = 256 * 2 ** 20

/** A PNG image. QEMU writes it into the VM's folder itself. */
export async function screenshot({ folder, monitor }: RunningVm): Promise<Uint8Array> {
  const filename = draftIn(folder)
  try {
    // QEMU would make one that others may read.
    closeSync(openOwnFile(filename, { flags: constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL }))
    await monitor((client) => client.execute('screendump', { filename, format: 'png' }))
    return await readOwnBytes(filename, maxImageBytes)
  } finally {
    await rm(filename, { force: true })
  }
}
