import { fileURLToPath } from 'node:url'
import type { Driver } from '../../driver.js'
import { InvalidArgumentError, NotSupportedError } from '../../errors.js'
import { VmDirectory } from '../../registry/vm-directory.js'
import { accelerators, type Accelerator } from './accelerator.js'
import { definitionFormat } from './definition.js'
import { QmpDriver } from './driver.js'
import { qemuError } from './qemu-errors.js'
import { findQemuTools } from './qemu-tools.js'

/** `qmp:///dir` runs QEMU for the VMs of a directory; `?accel=tcg` says what is to run their guests. */
export async function openQmp(uri: URL): Promise<Driver> {
  const directory = directoryOf(uri)
  const accelerator = acceleratorOf(uri)
  if (process.platform === 'win32') {
    throw new NotSupportedError({ capability: 'connect', reason: 'QEMU is run directly on Linux and macOS only' })
  }
  try {
    const tools = await findQemuTools()
    const registry = await VmDirectory.open(directory, definitionFormat)
    return await QmpDriver.open(registry, tools, accelerator)
  } catch (error) {
    throw qemuError(error)
  }
}

function directoryOf(uri: URL): string {
  if (uri.host !== '' || uri.hash !== '' || !uri.pathname.startsWith('/')) throw malformed(uri)
  try {
    return fileURLToPath(`file://${uri.pathname}`)
  } catch (cause) {
    throw malformed(uri, cause)
  }
}

function acceleratorOf(uri: URL): Accelerator | undefined {
  for (const name of uri.searchParams.keys()) if (name !== 'accel') throw malformed(uri)
  const named = uri.searchParams.get('accel')
  if (named === null) return undefined
  const accelerator = accelerators.find((known) => known === named)
  if (accelerator !== undefined) return accelerator
  throw new InvalidArgumentError({
    path: 'uri',
    reason: `the URI names the accelerator ${JSON.stringify(named)}`,
    hint: `Known are: ${accelerators.join(', ')}.`,
  })
}

const malformed = (uri: URL, cause?: unknown): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'uri',
    reason: `${uri.href} is not qmp:///DIRECTORY`,
    hint: 'Three slashes and an absolute path name a directory: qmp:///var/lib/vms, or qmp:///var/lib/vms?accel=tcg.',
    cause,
  })
