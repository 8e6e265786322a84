import { link, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { allDisks, type Hardware } from '../definition.js'
import type { HeldVm } from '../held-vm.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { QmpConnectionError } from '../protocol/qmp-errors.js'
import { diskNode } from './disk-devices.js'
import { imageFileOf } from './disk-chain.js'
import type { DiskImages } from './disk-images.js'
import { withTurns, type Turn } from './linked-disks.js'
import { blockDevices, nodeNames, openOverlay } from './plugged-disks.js'

/** What is done while the disks of a running VM become bases. */
interface LiveSharing {
  /** Makes all that can be made while the guest runs. The bases exist, and are still written to. */
  readonly prepare: () => Promise<void>
  /** Called right before QEMU changes over to the overlays, with a guest that may stand still until then. */
  readonly still?: ((client: QmpClient) => Promise<void>) | undefined
}

/**
 * Makes bases of the disks of a running VM, all of them at one moment, while the guest goes on with the overlays. The definition
 * changes first: as long as QEMU has not changed over, the disk is the same with an empty overlay and without, so that it is right
 * whenever this process or QEMU dies. `settle` finishes the change.
 */
export async function shareLive(
  images: DiskImages,
  vm: HeldVm,
  turns: readonly Turn[],
  { prepare, still }: LiveSharing,
): Promise<void> {
  const { definition: before, folder } = vm
  const made: string[] = []
  const opened: string[] = []
  await vm.withMonitor(async (client) => {
    try {
      for (const { file, base, next } of turns) {
        made.push(join(folder, base), join(folder, next.file))
        await link(join(folder, file), join(folder, base))
        await images.create(imageFileOf(folder, next, before.hardware), next.sizeMiB, { signal: vm.signal })
        await openOverlay(client, next)
        opened.push(diskNode(next))
      }
      await prepare()
      vm.signal.throwIfAborted()
      await still?.(client)
      await vm.save(withTurns(before, turns))
      await changeOver(client, turns)
    } catch (error) {
      // In a QEMU that is gone there is nothing to undo, and it may have changed over.
      if (error instanceof QmpConnectionError && vm.definition !== before) throw error
      if (vm.definition !== before) await vm.save(before)
      if (!(error instanceof QmpConnectionError)) {
        for (const node of opened) await client.execute('blockdev-del', { 'node-name': node })
      }
      for (const path of made) await rm(path, { force: true })
      throw error
    }
  })
}

type ChangeOver = Pick<Turn, 'file' | 'next'>

async function changeOver(client: QmpClient, turns: readonly ChangeOver[]): Promise<void> {
  if (turns.length === 0) return
  await client.execute('transaction', {
    actions: turns.map(({ file, next }) => ({
      type: 'blockdev-snapshot',
      data: { node: diskNode({ file }), overlay: diskNode(next) },
    })),
  })
}

/** Lets a QEMU change over to the overlays of the definition, if that was begun and did not happen. */
export async function finishChangeOver(client: QmpClient, hardware: Hardware): Promise<void> {
  const inUse = new Set((await blockDevices(client)).map(({ inserted }) => inserted?.['node-name']))
  const present = await nodeNames(client)
  const turns: ChangeOver[] = []
  for (const next of allDisks(hardware)) {
    const file = next.formerFiles?.at(-1)
    if (file === undefined || !inUse.has(diskNode({ file }))) continue
    if (!present.includes(diskNode(next))) await openOverlay(client, next)
    turns.push({ file, next })
  }
  await changeOver(client, turns)
}
