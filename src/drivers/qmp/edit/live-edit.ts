import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { MediaConfig } from '../../../model/vm-config.js'
import { driveDevice } from '../hardware/command-line.js'
import type { DiskDefinition, Hardware } from '../definition.js'
import type { HeldVm } from '../held-vm.js'
import { requireLive } from './live-limits.js'
import { closeDisk, differences, openDisk, plugDisk, readSlots, unplugDisk, withSlots } from '../disks/plugged-disks.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { changeMedium, namedMedium } from '../disks/removable-medium.js'
import type { RunRecord } from '../process/run-record.js'
import { UndoStack } from './undo-stack.js'

interface Edit {
  readonly before: Hardware
  readonly wanted: Hardware
  readonly makeDisks: (disks: readonly DiskDefinition[]) => Promise<void>
  readonly removeDisks: (disks: readonly DiskDefinition[]) => Promise<void>
  /** Writes the VM down with that hardware. */
  readonly save: (hardware: Hardware) => Promise<void>
  readonly unsave: () => Promise<void>
}

const mebibyte = 2 ** 20

/** Changes the hardware of a VM that runs: all that is wanted, or nothing. */
export async function editLive(
  vm: HeldVm,
  run: RunRecord,
  wanted: Hardware,
  parts: Pick<Edit, 'makeDisks' | 'save'>,
): Promise<void> {
  const { definition } = vm
  requireLive(definition.hardware, wanted, run, vm.state)
  vm.signal.throwIfAborted()
  const edit: Edit = {
    ...parts,
    before: definition.hardware,
    wanted,
    unsave: () => vm.save(definition),
    removeDisks: async (disks) => {
      for (const { file } of disks) await rm(join(vm.folder, file), { force: true })
    },
  }
  await vm.withMonitor(async (client) => {
    const undo = new UndoStack()
    try {
      await perform(client, edit, undo)
    } catch (error) {
      await undo.takeBack()
      throw error
    }
  })
}

/**
 * First what the guest may refuse. A disk is plugged last, since then only the guest could give it back, and when the definition
 * has it: what is written down and not plugged can be plugged by whoever comes next.
 */
async function perform(client: QmpClient, edit: Edit, undo: UndoStack): Promise<void> {
  const { before } = edit
  const slots = await readSlots(client)
  const present = withSlots(slots, before, before)
  const hardware = withSlots(slots, before, edit.wanted)
  const removed = without(present.disks, hardware.disks)
  const added = without(hardware.disks, present.disks)
  const { missing } = differences(slots, hardware)

  undo.add(() => edit.removeDisks(added))
  await edit.makeDisks(added)
  for (const disk of removed) {
    await undo.step(
      () => unplugDisk(client, disk),
      () => plugDisk(client, disk),
    )
  }
  const spent = [
    ...(await changeMedia(client, 'cdrom', before.cdroms, hardware.cdroms, undo)),
    ...(await changeMedia(client, 'floppy', before.floppies, hardware.floppies, undo)),
  ]
  if (hardware.memoryMiB !== before.memoryMiB) {
    await undo.step(
      () => resize(client, hardware.memoryMiB),
      () => resize(client, before.memoryMiB),
    )
  }
  for (const disk of added) {
    await undo.step(
      () => openDisk(client, disk),
      () => closeDisk(client, disk),
    )
  }
  await undo.step(() => edit.save(hardware), edit.unsave)
  for (const disk of missing) {
    await undo.step(
      () => plugDisk(client, disk),
      () => unplugDisk(client, disk),
    )
  }
  await closed(removed.map((disk) => closeDisk(client, disk)))
  await closed(spent.map((node) => client.execute('blockdev-del', { 'node-name': node })))
}

const without = (disks: readonly DiskDefinition[], others: readonly DiskDefinition[]): DiskDefinition[] =>
  disks.filter(({ file }) => !others.some((other) => other.file === file))

/** The guest takes and gives in its own time, if it knows about that at all. */
async function resize(client: QmpClient, memoryMiB: number): Promise<void> {
  await client.execute('balloon', { value: memoryMiB * mebibyte })
}

/** Answers the nodes that were in the drives, and are in use no more. */
async function changeMedia(
  client: QmpClient,
  kind: 'cdrom' | 'floppy',
  before: readonly MediaConfig[],
  wanted: readonly MediaConfig[],
  undo: UndoStack,
): Promise<string[]> {
  const spent: string[] = []
  for (const [index, { image }] of wanted.entries()) {
    const former = before[index]?.image
    if (former === undefined || former === image) continue
    const drive = driveDevice(kind, index)
    const node = await namedMedium(client, drive)
    await undo.step(
      () => changeMedium(client, drive, image),
      () => changeMedium(client, drive, former),
    )
    if (node !== undefined) spent.push(node)
  }
  return spent
}

/** That a file can't be closed is no reason for an edit to fail that has been made. */
async function closed(closing: readonly Promise<unknown>[]): Promise<void> {
  for (const result of await Promise.allSettled(closing)) {
    if (result.status === 'fulfilled') continue
    process.emitWarning(`QEMU keeps a file open: ${String(result.reason)}`, 'AwaitvmWarning')
  }
}
