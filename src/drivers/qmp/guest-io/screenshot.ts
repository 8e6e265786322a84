import { closeSync, constants } from 'node:fs'
import { rm } from 'node:fs/promises'
import { openOwnFile, readOwnBytes } from '../../../registry/own-file.js'
import { draftIn } from '../../../registry/replace-file.js'
import type { RunningVm } from '../vm-access.js'

/** More than the largest screen of QEMU's VGA takes. */
const maxImageBytes = 256 * 2 ** 20

/** Takes a PNG image, which QEMU writes into the VM's folder. */
export async function screenshot({ folder, monitor }: RunningVm): Promise<Uint8Array> {
  const filename = draftIn(folder)
  try {
    // QEMU would make the file readable for others.
    closeSync(openOwnFile(filename, { flags: constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL }))
    await monitor((client) => client.execute('screendump', { filename, format: 'png' }))
    return await readOwnBytes(filename, maxImageBytes)
  } finally {
    await rm(filename, { force: true })
  }
}
