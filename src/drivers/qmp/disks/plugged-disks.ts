import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import { InsufficientResourcesError, ResourceBusyError } from '../../../errors.js'
import { diskBlockdev, diskDevice, diskNode, idePlaces, virtioDisk } from './disk-devices.js'
import type { DiskDefinition, Hardware } from '../definition.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { QmpCommandError } from '../protocol/qmp-errors.js'

const busSchema = v.array(v.object({ devices: v.array(v.object({ slot: v.number(), qdev_id: v.string() })) }))

/** Hot-plugged disks have slots from the first of these on: those before are given in turn when a QEMU starts. */
const plugSlots = { first: 16, last: 30 }

/** How long a guest may take to let go of a disk, which takes one that knows about it some 100 ms. */
const unplugTimeoutMs = 10_000
const pollMs = 100

/** Far longer than QEMU takes; it is QEMU that refuses what is still in use then. */
const freeTimeoutMs = 5000
const freePollMs = 5

/** The PCI slots of a QEMU, and the ids of the devices in them. */
export type Slots = ReadonlyMap<number, string>

export async function readSlots(client: QmpClient): Promise<Slots> {
  const [bus] = v.parse(busSchema, await client.execute('query-pci'))
  return new Map(bus?.devices.map(({ slot, qdev_id: id }): [number, string] => [slot, id]))
}

/** The disks that are to be there once it is done: each virtio disk with the slot that it has, or a free one. */
export function withSlots(present: Slots, before: Hardware, wanted: Hardware): Hardware {
  const slots = new Map(present)
  const ide = new Set(ideDisks(before).map(({ file }) => file))
  const disks = wanted.disks.map((disk) => {
    if (ide.has(disk.file)) return disk
    const device = diskDevice(disk)
    const [slot = freeSlot(slots)] = [...slots].find(([, id]) => id === device) ?? []
    slots.set(slot, device)
    return { ...disk, slot }
  })
  return { ...wanted, disks }
}

/** The same with slots that no device gets in turn: for a QEMU that starts afresh, with whatever else was edited. */
export function withLastSlots(hardware: Hardware): Hardware {
  const pinned = hardware.disks.filter(({ slot }) => slot !== undefined)
  let next = plugSlots.last - pinned.length
  const disks = hardware.disks.map((disk) => (disk.slot === undefined ? disk : { ...disk, slot: (next += 1) }))
  return { ...hardware, disks }
}

/** Behind the other disks where there is room, so that guests count them in the same order. */
function freeSlot(slots: Slots): number {
  const { first, last } = plugSlots
  const used = [...slots.keys()].filter((slot) => slot <= last)
  const next = Math.max(first, ...used.map((slot) => slot + 1))
  if (next <= last) return next
  for (let slot = last; slot > 0; slot -= 1) if (!slots.has(slot)) return slot
  throw new InsufficientResourcesError({ reason: 'it has no PCI slot left', hint: 'Take another disk away first.' })
}

/** Disks that can't be plugged while the guest runs. */
export const ideDisks = (hardware: Hardware): DiskDefinition[] => {
  const places = idePlaces(hardware)
  return hardware.disks.filter((_disk, index) => places[index] !== undefined)
}

const virtioDisks = (hardware: Hardware): DiskDefinition[] => {
  const places = idePlaces(hardware)
  return hardware.disks.filter((_disk, index) => places[index] === undefined)
}

/** The virtio disks of a definition that a QEMU lacks, and the devices of disks that it has beyond them. */
export function differences(
  slots: Slots,
  hardware: Hardware,
): { readonly missing: readonly DiskDefinition[]; readonly unknown: readonly string[] } {
  const devices = new Set([...slots.values()].filter((id) => id.startsWith('drive-disk-')))
  const missing = virtioDisks(hardware).filter((disk) => !devices.delete(diskDevice(disk)))
  return { missing, unknown: [...devices] }
}

/**
 * Refuses what needs the disks to be those of the definition: memory that was saved with others can't be loaded. A guest may let
 * go of a disk long after it was asked to.
 */
export async function requirePlugged(client: QmpClient, hardware: Hardware): Promise<void> {
  const { missing, unknown } = differences(await readSlots(client), hardware)
  if (missing.length === 0 && unknown.length === 0) return
  throw new ResourceBusyError({
    reason: 'its disks are not those that it is to have, since an edit could not be finished',
    hint: 'Edit its disks again with vm.edit({ disks: vm.config.disks }), or stop it.',
    retryable: false,
  })
}

/** Opens a disk's file, for a device that is plugged then. */
export const openDisk = async (client: QmpClient, disk: DiskDefinition): Promise<void> => {
  await client.execute('blockdev-add', diskBlockdev(disk))
}

export const closeDisk = async (client: QmpClient, disk: DiskDefinition): Promise<void> => {
  await untilLetGo(client, disk)
  await client.execute('blockdev-del', { 'node-name': diskNode(disk) })
}

/** Plugs a disk, which the guest sees at once where it knows about that, or else when it starts. */
export const plugDisk = async (client: QmpClient, disk: DiskDefinition): Promise<void> => {
  await untilLetGo(client, disk)
  await client.execute('device_add', virtioDisk(disk))
}

/** A device that is gone from its slot may hold its disk for a moment more, until QEMU has freed it. */
async function untilLetGo(client: QmpClient, disk: DiskDefinition): Promise<void> {
  const node = diskNode(disk)
  const deadline = performance.now() + freeTimeoutMs
  while (performance.now() < deadline) {
    const devices = await blockDevices(client)
    if (!devices.some(({ inserted }) => inserted?.['node-name'] === node)) return
    await delay(freePollMs)
  }
}

/** Asks the guest to let go of a disk, and waits until it has; a guest that does not know how never does. */
export async function unplugDisk(client: QmpClient, disk: DiskDefinition): Promise<void> {
  const id = diskDevice(disk)
  const deadline = performance.now() + unplugTimeoutMs
  for (;;) {
    const change = new AbortController()
    const forget = client.onEvent(({ name, data }) => {
      if (name === 'DEVICE_DELETED' && data['device'] === id) change.abort()
    })
    try {
      await client.execute('device_del', { id }).catch(unlessAsked)
      if (![...(await readSlots(client)).values()].includes(id)) return
      if (performance.now() > deadline) throw stillInUse()
      await delay(pollMs, undefined, { signal: change.signal }).catch(() => undefined)
    } finally {
      forget()
    }
  }
}

/** It has been asked already, and is about to let go or has done so. */
function unlessAsked(error: unknown): void {
  const isAsked = error instanceof QmpCommandError && /in the process of unplug|not found/.test(error.message)
  if (!isAsked) throw error
}

const stillInUse = (): ResourceBusyError =>
  new ResourceBusyError({
    reason: 'its guest does not let go of the disk',
    hint: 'It may do so later: then the same edit succeeds. Or stop the VM first.',
  })

const nodesSchema = v.array(
  v.object({ 'node-name': v.optional(v.string()), image: v.object({ 'virtual-size': v.number() }) }),
)

const mebibyte = 2 ** 20

/**
 * Makes a disk of a running VM as large as it is to be; the guest sees that when it looks at the disk again. One that is as large
 * already stays as it is: QEMU shrinks a disk without a question.
 */
export async function growLive(client: QmpClient, disk: DiskDefinition): Promise<void> {
  if (disk.sizeMiB === undefined) return
  const size = disk.sizeMiB * mebibyte
  const name = diskNode(disk)
  const nodes = v.parse(nodesSchema, await client.execute('query-named-block-nodes', { flat: true }))
  const present = nodes.find((node) => node['node-name'] === name)?.image['virtual-size'] ?? 0
  if (present < size) await client.execute('block_resize', { 'node-name': name, size })
}

const blocksSchema = v.array(
  v.object({
    qdev: v.optional(v.string()),
    inserted: v.optional(v.object({ 'node-name': v.optional(v.string()) })),
  }),
)

/** The devices of a QEMU that have a disk or a medium, or could have one. */
export const blockDevices = async (client: QmpClient): Promise<v.InferOutput<typeof blocksSchema>> =>
  v.parse(blocksSchema, await client.execute('query-block'))
