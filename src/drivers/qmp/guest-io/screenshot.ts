import { readFile, rm } from 'node:fs/promises'
import { draftIn } from '../../../registry/replace-file.js'
import type { RunningVm } from '../running-vm.js'

/** A PNG image. QEMU writes it into the VM's folder itself. */
export async function screenshot({ folder, monitor }: RunningVm): Promise<Uint8Array> {
  const filename = draftIn(folder)
  try {
    await monitor((client) => client.execute('screendump', { filename, format: 'png' }))
    return await readFile(filename)
  } finally {
    await rm(filename, { force: true })
  }
}
