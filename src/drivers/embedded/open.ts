import { fileURLToPath } from 'node:url'
import type { Driver } from '../../driver/driver.js'
import type { Feature } from '../../operations.js'
import { InvalidArgumentError } from '../../errors.js'
import { requireKnownOptions } from '../../model/uri-options.js'
import { DirectoryStore } from './directory-store.js'
import { EmbeddedDriver } from './driver.js'
import { embeddedError } from './embedded-errors.js'
import { MachineThread } from './machine/machine-thread.js'
import { MemoryStore } from './memory-store.js'

/** `embedded:` keeps VMs in memory, `embedded:///dir` in a directory. */
export async function openEmbedded(uri: URL): Promise<Driver> {
  const directory = directoryOf(uri)
  try {
    const store = directory === undefined ? new MemoryStore() : await DirectoryStore.open(directory)
    // All changes of VMs in memory come from this process; a directory is shared with other processes.
    const features: readonly Feature[] = [
      'vm.clone.memory',
      'vm.clone.ephemeral',
      ...(directory === undefined ? ['server.events.global' as const] : []),
    ]
    MachineThread.open()
    // VMs in memory are made by this connection, and started soon. One to a directory may be there to list its VMs only.
    if (directory === undefined) await readyOrClosed()
    return new EmbeddedDriver(store, features)
  } catch (error) {
    throw embeddedError(error)
  }
}

async function readyOrClosed(): Promise<void> {
  try {
    await MachineThread.ready()
  } catch (error) {
    await MachineThread.close()
    throw error
  }
}

function directoryOf(uri: URL): string | undefined {
  requireKnownOptions(uri, [], 'uri')
  if (uri.host !== '' || uri.hash !== '') throw malformed(uri)
  if (uri.pathname === '') return undefined
  if (!uri.pathname.startsWith('/')) throw malformed(uri)
  try {
    return fileURLToPath(`file://${uri.pathname}`)
  } catch (cause) {
    throw malformed(uri, cause)
  }
}

const malformed = (uri: URL, cause?: unknown): InvalidArgumentError =>
  new InvalidArgumentError({
    path: 'uri',
    reason: `${uri.href} is neither embedded: nor embedded:///DIRECTORY`,
    hint: 'Three slashes and an absolute path name a directory: embedded:///var/lib/vms.',
    cause,
  })
