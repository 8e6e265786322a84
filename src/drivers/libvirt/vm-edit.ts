import { ConnectionError, InvalidArgumentError, NotSupportedError } from '../../errors.js'
import { requireState } from '../../errors/state.js'
import type { Task } from '../../driver/task.js'
import { withLocalImages } from '../../driver/local-images.js'
import { isSame } from '../../model/is-same.js'
import type { DiskBus, DiskConfig, DiskSpec } from '../../model/vm-config.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { VmChanges } from '../../model/vm-spec.js'
import { keepDisks } from '../../registry/keep-hardware.js'
import { editedXml, withMetadata } from './domain/edit-domain.js'
import { isSeed } from './domain/drives.js'
import type { OwnMetadata } from './domain/own-metadata.js'
import { readDomain, type Domain } from './domain/read-domain.js'
import { asEdited } from './drafts.js'
import { domainOf, type LibvirtHost } from './libvirt-host.js'
import { requireMedia } from './require-media.js'
import { requireResources } from './require-resources.js'
import { refuseUnsupported } from './settings.js'
import { makeFiles, planDisk, planSeed, prefixOf, type PlannedDisk, type PlannedSeed } from './storage/new-files.js'
import type { Volume } from './storage/volumes.js'
import { undone } from './undone.js'

const mebibyte = 2 ** 20

/** What an edit does to the files of a VM. */
interface FilePlan {
  readonly disks: readonly PlannedDisk[]
  readonly seed: PlannedSeed | false | undefined
  readonly removedDisks: readonly string[]
  /** The volumes that are not needed any more, which awaitvm has made. */
  readonly removed: readonly Volume[]
  readonly growth: readonly { readonly path: string; readonly bytes: number }[]
  readonly buses: ReadonlyMap<string, DiskBus>
}

/** How an edit is made. */
interface EditTask {
  readonly task: Pick<Task, 'progress'>
  /** Stops the copying of images; absent if nothing is copied. */
  readonly signal: AbortSignal | undefined
  readonly send: () => void
}

/** An edit of a VM: all of it is done, or nothing. From the first file that is deleted on, it is not undone any more. */
export class VmEdit {
  readonly #host: LibvirtHost
  readonly #before: VmRecord
  readonly #task: EditTask

  constructor(host: LibvirtHost, before: VmRecord, task: EditTask) {
    this.#host = host
    this.#before = before
    this.#task = task
  }

  async apply(given: VmChanges): Promise<void> {
    const { id: vm, config, state } = this.#before
    const { task, send, signal = new AbortController().signal } = this.#task
    refuseUnsupported(given, this.#host.address.hypervisor, 'changes')
    // Media and hardware are the same until the next start.
    if (changesHardware(given, config)) requireState('vm.edit', state, ['stopped', 'crashed'])
    await requireMedia(given, this.#host.address, 'changes')
    await requireResources(this.#host, given)
    const changes = await withLocalImages(given, 'changes', { task, signal, vms: undefined })
    const text = await this.#host.wholeXmlOf(vm)
    const domain = readDomain(text)
    refuseOtherMachine(changes, domain)
    const plan = await this.#plan(changes, domain)
    const files = [...plan.disks.map(({ file }) => file), ...(typeof plan.seed === 'object' ? [plan.seed.file] : [])]
    send()
    try {
      if (files.length > 0) await this.#define(asEdited(text, domain, namesOf(files)))
      const paths = await makeFiles(this.#host.volumes, files, { task, signal })
      // Growth can't be undone, and harms nothing if all else is.
      for (const { path, bytes } of plan.growth) await this.#host.volumes.grow(path, bytes)
      const metadata = metadataAfter(changes, domain, plan)
      const edit = {
        changes: { ...changes, ...(changes.memoryMiB === config.memoryMiB && { memoryMiB: undefined }) },
        newDisks: plan.disks.map((disk, index) => ({ ...disk, path: paths[index] ?? '' })),
        removedDisks: plan.removedDisks,
        buses: plan.buses,
        seed: typeof plan.seed === 'object' ? paths.at(-1) : plan.seed,
      }
      const after = editedXml(text, domain, { ...edit, metadata })
      const { removed } = plan
      await this.#define(removed.length > 0 ? asEdited(after, readDomain(after), namesOf(removed)) : after)
      // Of what can be undone, the last step: libvirt refuses it for more reasons than awaitvm knows.
      await this.#rename(changes.name)
    } catch (error) {
      throw await undone(error, 'vm.edit', () => this.#undo(text, namesOf(files)))
    }
    await this.#removeFiles(plan.removed, domain.metadata)
  }

  async #plan(changes: VmChanges, domain: Domain): Promise<FilePlan> {
    const vm = domain.uuid
    const present = domain.config.disks
    const made = new Map<DiskConfig, DiskSpec>()
    const wanted = keepDisks(changes, present, (disk) => {
      const placeholder = { ...disk, id: '' }
      made.set(placeholder, disk)
      return placeholder
    })
    const ids = wanted.map(({ id }) => id)
    const kept = present.filter(({ id }) => ids.includes(id))
    if (kept.some(({ id }, index) => ids[index] !== id)) throw orderIsFixed()
    const disks: PlannedDisk[] = []
    for (const [index, disk] of wanted.entries()) {
      const spec = made.get(disk)
      if (spec !== undefined) disks.push(await planDisk(vm, spec, `changes.disks[${String(index)}]`))
    }
    const { deleteDisks = [], cloudInit } = changes
    const growth: { path: string; bytes: number }[] = []
    const buses = new Map<string, DiskBus>()
    for (const disk of kept) {
      const after = wanted.find(({ id }) => id === disk.id)
      const path = domain.drives.find(({ id }) => id === disk.id)?.path
      if (after?.bus !== undefined && after.bus !== disk.bus) buses.set(disk.id, after.bus)
      if (after?.sizeMiB === undefined || after.sizeMiB === disk.sizeMiB) continue
      if (path === undefined) throw notOwn(disk.id, 'changes.disks')
      growth.push({ path, bytes: after.sizeMiB * mebibyte })
    }
    const removed: Volume[] = []
    for (const [index, id] of deleteDisks.entries()) {
      const volume = await this.#ownVolume(domain.drives.find((drive) => drive.id === id)?.path)
      if (volume === undefined) throw notOwn(id, `changes.deleteDisks[${String(index)}]`)
      removed.push(volume)
    }
    const snapshots = deleteDisks.length > 0 || cloudInit !== undefined ? await this.#countSnapshots(vm) : 0
    if (deleteDisks.length > 0 && snapshots > 0) throw hasSnapshots(snapshots)
    const formerSeed = cloudInit === undefined ? undefined : domain.drives.find(isSeed)?.path
    // A snapshot has the seed that the VM had then. It stays until the VM is deleted.
    const seedVolume = snapshots > 0 ? undefined : await this.#ownVolume(formerSeed)
    if (seedVolume !== undefined) removed.push(seedVolume)
    const { name = domain.config.name } = changes
    const seed =
      cloudInit === undefined || cloudInit === false ? cloudInit : planSeed(vm, cloudInit, name, 'changes.cloudInit')
    return { disks, seed, removedDisks: deleteDisks, removed, growth, buses }
  }

  async #countSnapshots(vm: string): Promise<number> {
    const listed = { dom: domainOf(vm), need_results: false, flags: 0 }
    return (await this.#host.pool.control.call('domain_list_all_snapshots', listed)).ret
  }

  /** The volume at a path, if awaitvm has made it for this VM: only those are ever deleted. */
  async #ownVolume(path: string | undefined): Promise<Volume | undefined> {
    const volume = path === undefined ? undefined : await this.#host.volumes.at(path)
    return volume?.name.startsWith(prefixOf(this.#before.id)) === true ? volume : undefined
  }

  async #rename(name: string | undefined): Promise<void> {
    const { id: vm, config } = this.#before
    if (name === undefined || name === config.name) return
    await this.#host.pool.callLong('domain_rename', { dom: domainOf(vm), new_name: name, flags: 0 })
  }

  /** Removes the files that the VM has no more. Its edit is done: what can't be removed is left to a later connection, by the mark. */
  async #removeFiles(files: readonly Volume[], { editor, files: earlier }: OwnMetadata): Promise<void> {
    if (files.length === 0) return
    try {
      for (const volume of files) await this.#host.volumes.remove(volume)
      const text = await this.#host.wholeXmlOf(this.#before.id)
      const domain = readDomain(text)
      // The mark of an earlier edit, which ended half-way, stays.
      await this.#define(withMetadata(text, domain, { ...domain.metadata, editor, files: earlier }))
    } catch (error) {
      if (error instanceof ConnectionError) throw error
      const left = `Disks that were taken from VM ${this.#before.id} can't be removed yet: ${String(error)}`
      process.emitWarning(left, 'AwaitvmWarning')
    }
  }

  async #undo(text: string, names: readonly string[]): Promise<void> {
    await this.#define(text)
    if (names.length === 0) return
    for (const volume of await this.#host.volumes.named(prefixOf(this.#before.id))) {
      if (names.includes(volume.name)) await this.#host.volumes.remove(volume)
    }
  }

  async #define(xml: string): Promise<void> {
    await this.#host.pool.callLong('domain_define_xml_flags', { xml, flags: 0 })
  }
}

const namesOf = (files: readonly { readonly name: string }[]): string[] => files.map(({ name }) => name)

/** Whether an edit changes what a running VM has from its start. */
function changesHardware(
  { description: _d, labels: _l, ephemeral: _e, ...hardware }: VmChanges,
  config: VmRecord['config'],
): boolean {
  const present = new Map<string, unknown>(Object.entries(config))
  return Object.entries(hardware).some(
    ([setting, value]) => value !== undefined && !isSame(value, present.get(setting) ?? null),
  )
}

function metadataAfter(changes: VmChanges, { uuid, metadata }: Domain, plan: FilePlan): OwnMetadata {
  const { labels = metadata.labels, disks: wanted = [] } = changes
  const disks = new Map([...metadata.disks].filter(([id]) => !plan.removedDisks.includes(id)))
  for (const { id, sizeMiB } of wanted) {
    if (id !== undefined && sizeMiB !== undefined) disks.set(id, { ...disks.get(id), sizeMiB })
  }
  for (const { id, origin } of plan.disks) disks.set(id, origin)
  const seed = plan.seed === undefined ? metadata.seed : plan.seed === false ? undefined : plan.seed.config
  return { ...metadata, uuid, labels, disks, seed }
}

function refuseOtherMachine({ machine, boot }: VmChanges, { config, firmware }: Domain): void {
  if (machine !== undefined && machine !== config.machine) {
    throw isFixed('machine', `is '${machine}', and the VM has another one, by which libvirt has numbered its devices`)
  }
  if (boot === undefined || boot.kernel !== undefined) return
  const { firmware: wanted = 'bios' } = boot
  if (wanted !== firmware) {
    throw isFixed('boot.firmware', `is '${wanted}', and the VM has '${firmware}', whose variables libvirt keeps`)
  }
}

const isFixed = (setting: string, what: string): NotSupportedError =>
  new NotSupportedError({
    capability: `spec.${setting}`,
    path: `changes.${setting}`,
    reason: `changes.${setting} ${what}`,
    hint: 'Leave it as it is, or make another VM.',
  })

const orderIsFixed = (): NotSupportedError =>
  new NotSupportedError({
    capability: 'spec.disks',
    path: 'changes.disks',
    reason: 'libvirt orders disks itself',
    hint: 'Put new disks behind the others.',
  })

const hasSnapshots = (count: number): NotSupportedError =>
  new NotSupportedError({
    capability: 'spec.disks',
    path: 'changes.deleteDisks',
    reason: `the VM has ${String(count)} snapshots, whose content is in the files of its disks`,
    hint: 'Delete the snapshots first.',
  })

const notOwn = (id: string, path: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${path} is the disk ${JSON.stringify(id)}, which awaitvm has not made`,
    hint: 'Change it with virsh.',
  })
