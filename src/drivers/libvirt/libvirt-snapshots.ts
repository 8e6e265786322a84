import type { DriverOperations } from '../../driver/driver.js'
import { requireNewSnapshot, requireSnapshot } from '../../driver/snapshot-list.js'
import { InvalidArgumentError } from '../../errors.js'
import { isSame } from '../../model/is-same.js'
import { snapshotTree } from '../../model/snapshot-tree.js'
import type { Snapshot } from '../../model/snapshot.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { VmState } from '../../model/vm-state.js'
import { withMetadata } from './domain/edit-domain.js'
import { readDomain } from './domain/read-domain.js'
import { domainOf, type LibvirtHost } from './libvirt-host.js'
import type { LibvirtWork } from './libvirt-work.js'
import { childOf, readXml, textOf } from './xml/xml-tree.js'
import { unwritable, writeXml, xml } from './xml/xml-writer.js'

/** Snapshots. libvirt knows them by their names, which are their ids. */
export class LibvirtSnapshots {
  readonly #host: LibvirtHost
  readonly #work: LibvirtWork

  constructor(host: LibvirtHost, work: LibvirtWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'vm.createSnapshot': ({ vm, name, description }, task) =>
      this.#work.change(task, vm, (_record, send) => this.#create(vm, { name, description }, send), {
        path: 'options.name',
      }),
    'vm.getSnapshotTree': ({ vm }, task) => this.#work.query(task, vm, async () => snapshotTree(await this.#list(vm))),
    'vm.switchToSnapshot': ({ vm, snapshot }, task) =>
      this.#work.change(task, vm, (record, send) => this.#switchTo(record, snapshot, send)),
    'vm.deleteSnapshot': ({ vm, snapshot }, task) =>
      this.#work.change(task, vm, async (_record, send) => {
        requireSnapshot(await this.#list(vm), snapshot)
        send()
        await this.#host.pool.callLong('domain_snapshot_delete', { snap: this.#reference(vm, snapshot), flags: 0 })
        await this.#list(vm, { isChange: true })
      }),
  }

  async #create(
    vm: string,
    { name, description }: { readonly name: string; readonly description: string },
    send: () => void,
  ): Promise<Snapshot> {
    for (const [path, text] of Object.entries({ name, description })) {
      if (!unwritable.test(text) && !(path === 'name' && /[/\n\t]/.test(text))) continue
      throw new InvalidArgumentError({ path, reason: `libvirt can't keep a character of the ${path} of a snapshot` })
    }
    requireNewSnapshot(await this.#list(vm), name)
    const wanted = xml('domainsnapshot', {}, xml('name', {}, name), xml('description', {}, description))
    send()
    const request = { dom: domainOf(vm), xml_desc: writeXml(wanted), flags: 0 }
    await this.#host.pool.callLong('domain_snapshot_create_xml', request)
    await this.#host.look(vm)
    return requireSnapshot(await this.#list(vm, { isChange: true }), name)
  }

  async #switchTo({ id: vm, config }: VmRecord, snapshot: string, send: () => void): Promise<VmState> {
    const { pool } = this.#host
    requireSnapshot(await this.#list(vm), snapshot)
    send()
    await pool.callLong('domain_revert_to_snapshot', { snap: this.#reference(vm, snapshot), flags: 0 })
    // Labels and the date belong to the VM, not to one of its states. libvirt keeps them with its settings.
    const text = await this.#host.wholeXmlOf(vm)
    const domain = readDomain(text)
    if (!isSame(domain.config.labels ?? {}, config.labels ?? {})) {
      const xml = withMetadata(text, domain, { ...domain.metadata, labels: config.labels })
      await pool.callLong('domain_define_xml_flags', { xml, flags: 0 })
    }
    await this.#list(vm, { isChange: true })
    return await this.#work.reached(vm)
  }

  #reference(vm: string, name: string): { readonly name: string; readonly dom: ReturnType<typeof domainOf> } {
    return { name, dom: domainOf(vm) }
  }

  /** All snapshots, the oldest first. */
  async #list(vm: string, { isChange = false } = {}): Promise<Snapshot[]> {
    const { control } = this.#host.pool
    const dom = domainOf(vm)
    const [{ snapshots }, { result: hasCurrent }] = await Promise.all([
      control.call('domain_list_all_snapshots', { dom, need_results: true, flags: 0 }),
      control.call('domain_has_current_snapshot', { dom, flags: 0 }),
    ])
    const current = hasCurrent
      ? (await control.call('domain_snapshot_current', { dom, flags: 0 })).snap.name
      : undefined
    const texts = await Promise.all(
      snapshots.map((snap) => control.call('domain_snapshot_get_xml_desc', { snap, flags: 0 })),
    )
    const list = texts.map((text) => snapshotOf(text.xml, current))
    list.sort((a, b) => a.createdAt.getTime() - b.createdAt.getTime())
    this.#host.inventory.observeSnapshots(vm, list, isChange)
    return list
  }
}

const states: Readonly<Record<string, VmState>> = { running: 'running', blocked: 'running', paused: 'paused' }

/** Of a snapshot without memory, the domain is off after it. */
function snapshotOf(text: string, current: string | undefined): Snapshot {
  const root = readXml(text, "libvirt's description of a snapshot")
  const name = childOf(root, 'name')?.text ?? ''
  const parentId = childOf(root, 'parent', 'name')?.text
  return {
    id: name,
    name,
    description: childOf(root, 'description')?.text ?? '',
    createdAt: new Date(1000 * Number(textOf(childOf(root, 'creationTime')))),
    parentId,
    state: states[textOf(childOf(root, 'state')) ?? ''] ?? 'stopped',
    isCurrent: name === current,
  }
}
