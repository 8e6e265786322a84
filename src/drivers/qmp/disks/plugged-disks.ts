import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import { InsufficientResourcesError, ResourceBusyError } from '../../../errors.js'
import { bridge } from '../hardware/machine.js'
import { diskBlockdev, diskDevice, diskNode, diskNodes, virtioDisk } from './disk-devices.js'
import { placedDrives } from './drive-places.js'
import type { DiskDefinition, Hardware } from '../definition.js'
import type { KnownImages } from './disk-chain.js'
import type { QmpClient } from '../protocol/qmp-client.js'
import { QmpCommandError } from '../protocol/qmp-errors.js'

const entriesSchema = v.array(v.object({ name: v.string(), type: v.string() }))
/** Slot and function of a PCI device, in one byte. */
const addressSchema = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(255))

/** The slots for hot-plugged disks. QEMU assigns those before in order when it starts; those behind are taken. */
const plugSlots = { first: 16, last: 28 }

/** How long a guest may take to release a disk; with a driver for hot-plug it takes some 100 ms. */
const unplugTimeoutMs = 10_000
const pollMs = 100

/** Far longer than QEMU takes. After that, QEMU itself refuses what is still in use. */
const freeTimeoutMs = 5000
const freePollMs = 5

/** The PCI slots in use on the bus where disks are plugged, with the ids of their devices. */
export type Slots = ReadonlyMap<number, string>

export async function readSlots(client: QmpClient): Promise<Slots> {
  const devices = await listDevices(client)
  // `query-pci` does not tell what is behind a bridge before the firmware has given numbers to the buses.
  const names = devices.includes(`${withId}/${bridge}`) ? [`/${bridge}`] : ['/pci.0', '/pcie.0']
  const slots = new Map<number, string>()
  for (const path of devices) {
    const read = (property: string): Promise<unknown> => client.execute('qom-get', { path, property })
    try {
      const bus = await read('parent_bus')
      if (typeof bus !== 'string' || !names.some((name) => bus.endsWith(name))) continue
      slots.set(v.parse(addressSchema, await read('addr')) >> 3, idIn(path))
    } catch (error) {
      // The guest has released it after it was listed.
      if (!(error instanceof QmpCommandError)) throw error
    }
  }
  return slots
}

/** The devices that QEMU was given on its command line and later, by their paths: those with an id, and others. */
async function listDevices(client: QmpClient): Promise<string[]> {
  const found: string[] = []
  for (const folder of [withId, '/machine/peripheral-anon']) {
    const entries = v.parse(entriesSchema, await client.execute('qom-list', { path: folder }))
    found.push(...entries.flatMap(({ name, type }) => (type.startsWith('child<') ? `${folder}/${name}` : [])))
  }
  return found
}

const withId = '/machine/peripheral'
const idIn = (path: string): string => (path.startsWith(`${withId}/`) ? path.slice(withId.length + 1) : '')

/** The wanted hardware with the slot of each virtio disk: its present one, or a free one. */
export function withSlots(present: Slots, before: Hardware, wanted: Hardware): Hardware {
  const slots = new Map(present)
  const fixed = new Set(fixedDisks(before).map(({ file }) => file))
  const disks = wanted.disks.map((disk) => {
    if (fixed.has(disk.file)) return disk
    const device = diskDevice(disk)
    const [slot = freeSlot(slots)] = [...slots].find(([, id]) => id === device) ?? []
    slots.set(slot, device)
    return { ...disk, slot }
  })
  return { ...wanted, disks }
}

/** The hardware for the next QEMU, which assigns slots in the order of the disks. */
export const withoutSlots = (hardware: Hardware): Hardware => ({
  ...hardware,
  disks: hardware.disks.map(({ slot: _slot, ...disk }) => disk),
})

/** A slot behind the other disks if there is one, so that guests number disks in the same order. */
function freeSlot(slots: Slots): number {
  const { first, last } = plugSlots
  const used = [...slots.keys()].filter((slot) => slot <= last)
  const next = Math.max(first, ...used.map((slot) => slot + 1))
  if (next <= last) return next
  for (let slot = last; slot > 0; slot -= 1) if (!slots.has(slot)) return slot
  throw new InsufficientResourcesError({ reason: 'it has no PCI slot left', hint: 'Take another disk away first.' })
}

/** The disks that can't be plugged while the guest runs: all but virtio's. */
export const fixedDisks = (hardware: Hardware): DiskDefinition[] =>
  placedDrives(hardware).disks.flatMap(({ drive, bus }) => (bus === 'virtio' ? [] : drive))

const virtioDisks = (hardware: Hardware): DiskDefinition[] =>
  placedDrives(hardware).disks.flatMap(({ drive, bus }) => (bus === 'virtio' ? drive : []))

/** The virtio disks of a definition that QEMU lacks, and the ids of disk devices that it has beyond them. */
export function differences(
  slots: Slots,
  hardware: Hardware,
): { readonly missing: readonly DiskDefinition[]; readonly unknown: readonly string[] } {
  const devices = new Set([...slots.values()].filter((id) => id.startsWith('drive-disk-')))
  const missing = virtioDisks(hardware).filter((disk) => !devices.delete(diskDevice(disk)))
  return { missing, unknown: [...devices] }
}

/**
 * Throws unless QEMU has the disks of the definition, since memory that was saved with others can't be loaded. A guest may release a
 * disk long after it was asked to.
 */
export async function requirePlugged(client: QmpClient, hardware: Hardware): Promise<void> {
  const { missing, unknown } = differences(await readSlots(client), hardware)
  if (missing.length === 0 && unknown.length === 0) return
  throw new ResourceBusyError({
    reason: 'its disks differ from its settings, since an edit could not be finished',
    hint: 'Edit its disks again with vm.edit({ disks: vm.config.disks }), or stop it.',
    retryable: false,
  })
}

/** Opens a disk's file, before its device is plugged. */
export const openDisk = async (client: QmpClient, disk: DiskDefinition, known: KnownImages): Promise<void> => {
  await client.execute('blockdev-add', diskBlockdev(disk, known))
}

/** Opens an empty overlay, for a disk that is in use and is to become its base. */
export const openOverlay = async (client: QmpClient, disk: DiskDefinition): Promise<void> => {
  await client.execute('blockdev-add', { ...diskBlockdev(disk, { images: {} }), backing: null })
}

export const closeDisk = async (client: QmpClient, disk: DiskDefinition): Promise<void> => {
  await untilReleased(client, disk)
  for (const node of diskNodes(disk)) await client.execute('blockdev-del', { 'node-name': node })
}

/** Plugs a disk. A guest without a driver for hot-plug sees it at its next start. */
export const plugDisk = async (client: QmpClient, disk: DiskDefinition, machine: string): Promise<void> => {
  await untilReleased(client, disk)
  await client.execute('device_add', virtioDisk(disk, machine))
}

/** Waits until QEMU has freed a disk: a device that is gone from its slot may use it for a moment more. */
async function untilReleased(client: QmpClient, disk: DiskDefinition): Promise<void> {
  const node = diskNode(disk)
  const deadline = performance.now() + freeTimeoutMs
  while (performance.now() < deadline) {
    const devices = await blockDevices(client)
    if (!devices.some(({ inserted }) => inserted?.['node-name'] === node)) return
    await delay(freePollMs)
  }
}

/** Asks the guest to release a disk, and waits until it has. A guest without a driver for hot-plug never does. */
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

/** The guest was asked before, and is releasing the disk or has done so. */
function unlessAsked(error: unknown): void {
  const isAsked = error instanceof QmpCommandError && /in the process of unplug|not found/.test(error.message)
  if (!isAsked) throw error
}

const stillInUse = (): ResourceBusyError =>
  new ResourceBusyError({
    reason: 'its guest does not release the disk',
    hint: 'It may do so later: then the same edit succeeds. Or stop the VM first.',
  })

const nodesSchema = v.array(
  v.object({ 'node-name': v.optional(v.string()), image: v.object({ 'virtual-size': v.number() }) }),
)

const namedNodes = async (client: QmpClient): Promise<v.InferOutput<typeof nodesSchema>> =>
  v.parse(nodesSchema, await client.execute('query-named-block-nodes', { flat: true }))

/** The names of QEMU's block nodes. */
export const nodeNames = async (client: QmpClient): Promise<string[]> =>
  (await namedNodes(client)).flatMap(({ 'node-name': name }) => name ?? [])

const mebibyte = 2 ** 20

/**
 * Grows a disk of a running VM to its size in the settings; the guest sees that when it reads the size again. The size is checked
 * first, since QEMU would also shrink the disk.
 */
export async function growLive(client: QmpClient, disk: DiskDefinition): Promise<void> {
  if (disk.sizeMiB === undefined) return
  const size = disk.sizeMiB * mebibyte
  const name = diskNode(disk)
  const present = (await namedNodes(client)).find((node) => node['node-name'] === name)?.image['virtual-size'] ?? 0
  if (present < size) await client.execute('block_resize', { 'node-name': name, size })
}

const blocksSchema = v.array(
  v.object({
    qdev: v.optional(v.string()),
    inserted: v.optional(v.object({ 'node-name': v.optional(v.string()) })),
  }),
)

/** QEMU's disks and drives, with the medium in each. */
export const blockDevices = async (client: QmpClient): Promise<v.InferOutput<typeof blocksSchema>> =>
  v.parse(blocksSchema, await client.execute('query-block'))
