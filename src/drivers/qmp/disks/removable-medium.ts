import { setTimeout as delay } from 'node:timers/promises'
import { ResourceBusyError } from '../../../errors.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { QmpCommandError } from '../protocol/qmp-errors.js'
import { blockDevices } from './block-devices.js'

/** How long a guest that has locked the tray may take to open it, once it was asked to. */
const openTimeoutMs = 10_000
const pollMs = 100

/** The node that is in a drive and has a name of its own, which stays when another medium is put in. */
export async function namedMedium(client: QmpClient, drive: string): Promise<string | undefined> {
  const devices = await blockDevices(client)
  const node = devices.find(({ qdev }) => qdev === drive)?.inserted?.['node-name']
  // Names that QEMU gives by itself begin so, and such nodes go by themselves.
  return node?.startsWith('#') === true ? undefined : node
}

/**
 * Puts another image into a drive, in one step. An absolute path is never taken for anything else, and its format is told. QEMU
 * asks a guest that has locked the tray to open it.
 */
export async function changeMedium(client: QmpClient, drive: string, filename: string): Promise<void> {
  const deadline = performance.now() + openTimeoutMs
  for (;;) {
    try {
      await client.execute('blockdev-change-medium', {
        id: drive,
        filename,
        format: 'raw',
        'read-only-mode': 'read-only',
      })
      return
    } catch (error) {
      if (!(error instanceof QmpCommandError) || !error.message.includes('is locked')) throw error
      if (performance.now() > deadline) throw trayIsLocked(error)
      await delay(pollMs)
    }
  }
}

const trayIsLocked = (cause: unknown): ResourceBusyError =>
  new ResourceBusyError({
    reason: 'its guest has locked the tray of the drive',
    hint: 'Unmount the medium in the guest, or stop the VM first.',
    cause,
  })
