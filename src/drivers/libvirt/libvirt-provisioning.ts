import { randomUUID } from 'node:crypto'
import { newDraftName } from '../../driver/draft-name.js'
import type { DriverOperations } from '../../driver/driver.js'
import { hasNewImages, withLocalImages } from '../../driver/local-images.js'
import type { Sending } from '../../driver/host-work.js'
import type { Task } from '../../driver/task.js'
import { nameIsId, nameIsTaken } from '../../errors/lookup.js'
import { ConnectionError, JobCancelledError } from '../../errors.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { VmSpec } from '../../model/vm-spec.js'
import { newDomainXml } from './domain/new-domain.js'
import { readDomain } from './domain/read-domain.js'
import { asDraft, removeDomain } from './drafts.js'
import { endCrashed } from './end-crashed.js'
import type { LibvirtHost } from './libvirt-host.js'
import type { LibvirtWork } from './libvirt-work.js'
import { requireMedia } from './require-media.js'
import { refuseUnsupported } from './settings.js'
import { requireResources } from './require-resources.js'
import { makeFiles, planDisk, planSeed, prefixOf, type PlannedDisk } from './storage/new-files.js'
import { undone } from './undone.js'
import { VmEdit } from './vm-edit.js'

/** Makes, edits and deletes VMs. */
export class LibvirtProvisioning {
  readonly #host: LibvirtHost
  readonly #work: LibvirtWork

  constructor(host: LibvirtHost, work: LibvirtWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'server.createVm': ({ spec }, task) => {
      // Read before any waiting, so that the job can be cancelled from its first moment.
      const { signal } = task
      return this.#work.add(task, 'spec', ({ send }) => this.#create(spec, { task, signal, send }))
    },
    'vm.edit': ({ vm, changes }, task) => {
      const signal = hasNewImages(changes) ? task.signal : undefined
      return this.#work.change(
        task,
        vm,
        async (record, send) => {
          const { name } = changes
          if (name !== undefined && name !== record.config.name) await this.#requireFreeName(name)
          await new VmEdit(this.#host, record, { task, signal, send }).apply(changes)
          return await this.#host.look(vm)
        },
        { path: 'changes' },
      )
    },
    'vm.delete': ({ vm }, task) =>
      this.#work.change(task, vm, async (record, send) => {
        await this.#delete(record, send)
        this.#host.forget(vm)
      }),
  }

  /**
   * A VM with files is a draft until they are there: it has its name, and is not shown. If this process ends before, the next
   * connection removes it.
   */
  async #create(given: VmSpec, { task, signal, send }: Sending & { readonly task: Task }): Promise<VmRecord> {
    const { address, capabilities } = this.#host
    refuseUnsupported(given, address.hypervisor, 'spec')
    await requireMedia(given, address, 'spec')
    const spec = await withLocalImages(given, 'spec', { task, signal, vms: undefined })
    const uuid = randomUUID()
    const { disks: wanted = [], cloudInit, labels, name } = spec
    const disks: PlannedDisk[] = []
    for (const [index, disk] of wanted.entries()) {
      disks.push(await planDisk(uuid, disk, `spec.disks[${String(index)}]`))
    }
    const seed = cloudInit && planSeed(uuid, cloudInit, name, 'spec.cloudInit')
    await Promise.all([this.#requireFreeName(name), requireResources(this.#host, spec)])
    const plain = { uuid, spec, host: capabilities, disks: [] }
    const files = [...disks.map(({ file }) => file), ...(seed === undefined ? [] : [seed.file])]
    signal.throwIfAborted()
    send()
    try {
      if (files.length > 0) {
        const draft = newDraftName()
        await this.#define(newDomainXml({ ...plain, metadata: { uuid, draft, disks: new Map() } }))
      }
      const paths = await makeFiles(this.#host.volumes, files, { task, signal })
      signal.throwIfAborted()
      const metadata = {
        uuid,
        createdAt: new Date(),
        labels,
        disks: new Map(disks.map(({ id, origin }) => [id, origin])),
        seed: seed?.config,
      }
      const made = disks.map((disk, index) => ({ ...disk, path: paths[index] ?? '' }))
      await this.#define(newDomainXml({ ...plain, disks: made, seed: seed && paths.at(-1), metadata }))
    } catch (error) {
      const cause = signal.aborted ? new JobCancelledError({ reason: 'it was cancelled', cause: error }) : error
      if (files.length === 0) throw cause
      throw await undone(cause, 'server.createVm', () => removeDomain(this.#host, uuid))
    }
    return await this.#host.look(uuid)
  }

  /** From its first deleted file on, the VM is a draft: if this process ends, the next connection removes the rest. */
  async #delete(record: VmRecord, send: () => void): Promise<void> {
    const { id: vm } = record
    const text = await this.#host.wholeXmlOf(vm)
    const hasFiles = (await this.#host.volumes.named(prefixOf(vm))).length > 0
    send()
    await endCrashed(this.#host, record)
    if (!hasFiles) {
      await removeDomain(this.#host, vm)
      return
    }
    await this.#define(asDraft(text, readDomain(text)))
    try {
      await removeDomain(this.#host, vm)
    } catch (error) {
      if (error instanceof ConnectionError) throw error
      // It is shown again, and can be deleted once more.
      throw await undone(error, 'vm.delete', () => this.#define(text))
    }
  }

  async #define(xml: string): Promise<void> {
    await this.#host.pool.callLong('domain_define_xml_flags', { xml, flags: 0 })
  }

  async #requireFreeName(name: string): Promise<void> {
    if ((await this.#host.withId(name)) !== undefined) throw nameIsId(name)
    const taken = await this.#host.idOf(name)
    if (taken !== undefined) throw nameIsTaken(name, taken)
  }
}
