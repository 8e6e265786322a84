import { inBackground } from '../../background.js'
import type { Driver } from '../../driver/driver.js'
import { NotSupportedError } from '../../errors.js'
import { VmDirectory } from '../../registry/vm-directory.js'
import { definitionFormat } from './definition-format.js'
import { QmpDriver } from './driver.js'
import { qemuError } from './qemu-errors.js'
import { findQemuTools } from './process/qemu-tools.js'
import { endStrays } from './process/stray-qemus.js'
import { parseQmpUri } from './uri.js'

/** `qmp:///dir` runs QEMU for the VMs of a directory; `?accel=tcg` chooses the accelerator. */
export async function openQmp(uri: URL): Promise<Driver> {
  const { directory, accelerator } = parseQmpUri(uri, 'uri')
  if (process.platform === 'win32') {
    throw new NotSupportedError({ capability: 'connect', reason: 'QEMU is run directly on Linux and macOS only' })
  }
  try {
    const tools = findQemuTools()
    const registry = await VmDirectory.open(directory, definitionFormat)
    inBackground(`Looking for QEMUs without a folder in ${directory}`, () => endStrays(registry.vms))
    return await QmpDriver.open(registry, tools, accelerator)
  } catch (error) {
    throw qemuError(error)
  }
}
