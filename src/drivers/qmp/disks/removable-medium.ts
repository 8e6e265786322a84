import { setTimeout as delay } from 'node:timers/promises'
import { ResourceBusyError } from '../../../errors.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { QmpCommandError } from '../protocol/qmp-errors.js'
import { blockDevices } from './plugged-disks.js'

/** How long a guest that has locked the tray may take to open it when it is asked to. */
const openTimeoutMs = 10_000
const pollMs = 100

/** The named node in a drive. QEMU keeps such a node when the medium is changed. */
export async function namedMedium(client: QmpClient, drive: string): Promise<string | undefined> {
  const devices = await blockDevices(client)
  const node = devices.find(({ qdev }) => qdev === drive)?.inserted?.['node-name']
  // Nodes with a generated name are removed by QEMU itself.
  return node?.startsWith('#') === true ? undefined : node
}

/**
 * Changes the medium of a drive, or removes it, in one step. QEMU takes an absolute path for a file name and nothing else. It asks a
 * guest that has locked the tray to open it.
 */
export async function changeMedium(client: QmpClient, drive: string, filename: string | undefined): Promise<void> {
  const deadline = performance.now() + openTimeoutMs
  for (;;) {
    try {
      if (filename === undefined) await client.execute('eject', { id: drive })
      else {
        const medium = { filename, format: 'raw', 'read-only-mode': 'read-only' }
        await client.execute('blockdev-change-medium', { id: drive, ...medium })
      }
      return
    } catch (error) {
      if (!(error instanceof QmpCommandError) || !error.message.includes('is locked')) throw error
      if (performance.now() > deadline) throw trayIsLocked(error)
      await delay(pollMs)
    }
  }
}

/** Notifies a guest that the medium of a drive has changed, before it continues from saved memory. */
export async function tellMediumChanged(client: QmpClient, drive: string): Promise<void> {
  await client.execute('blockdev-open-tray', { id: drive, force: true })
  await client.execute('blockdev-close-tray', { id: drive })
}

const trayIsLocked = (cause: unknown): ResourceBusyError =>
  new ResourceBusyError({
    reason: 'its guest has locked the tray of the drive',
    hint: 'Unmount the medium in the guest, or stop the VM first.',
    cause,
  })
