import type { DriverOperations } from '../../driver/driver.js'
import { requireSnapshot } from '../../driver/snapshot-list.js'
import { snapshotTree } from '../../model/snapshot-tree.js'
import type { Snapshot, SnapshotNode } from '../../model/snapshot.js'
import type { VmState } from '../../model/vm-state.js'
import type { ParallelsHost } from './parallels-host.js'
import { jsonIn } from './json-output.js'
import { snapshotDetails, snapshotIdsOfTable, snapshotsOfJson, type ListedSnapshot } from './snapshot-output.js'
import { argumentOf, bareId, isId } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import type { ParallelsWork } from './parallels-work.js'

/** Snapshots. Parallels can't cancel a change of them that is under way. Only ids that the host has listed are sent to it. */
export class ParallelsSnapshots {
  readonly #host: ParallelsHost
  readonly #work: ParallelsWork
  /** By id, the details of a snapshot that are not in a list. They never change. */
  readonly #details = new Map<string, ReturnType<typeof snapshotDetails>>()

  constructor(host: ParallelsHost, work: ParallelsWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'vm.createSnapshot': ({ vm, name, description }, task) =>
      this.#work.change(task, vm, (info) => this.#create(info, name, description)),
    'vm.getSnapshotTree': ({ vm }, task) =>
      this.#work.query(task, vm, async (): Promise<readonly SnapshotNode[]> => snapshotTree(await this.#list(vm))),
    'vm.switchToSnapshot': ({ vm, snapshot }, task) =>
      this.#work.change(task, vm, (info) => this.#switchTo(info, snapshot)),
    'vm.deleteSnapshot': ({ vm, snapshot }, task) => this.#work.change(task, vm, () => this.#delete(vm, snapshot)),
  }

  async #create({ record }: VmInfo, name: string, description: string): Promise<Snapshot> {
    const { id: vm, state } = record
    // With an empty value, prlctl would take the next option for it.
    const details = description === '' ? [] : ['-d', description]
    const output = await this.#host.prlctl.change(['snapshot', argumentOf(vm), '-n', name, ...details])
    await this.#work.settle(vm, state, state)
    const id = bareId(/\{[0-9a-f-]+\}/i.exec(output)?.[0] ?? '')
    return requireSnapshot(await this.#work.afterwards(() => this.#list(vm, { isChange: true })), id)
  }

  async #switchTo({ record }: VmInfo, snapshot: string): Promise<VmState> {
    const { id: vm, state: from } = record
    const { id, state } = requireSnapshot(await this.#list(vm), snapshot)
    await this.#host.prlctl.change(['snapshot-switch', argumentOf(vm), '-i', argumentOf(id)])
    const reached = await this.#work.settle(vm, state, from)
    await this.#work.afterwards(() => this.#host.snapshots(vm, { isChange: true }))
    return reached
  }

  async #delete(vm: string, snapshot: string): Promise<void> {
    const { id } = requireSnapshot(await this.#list(vm), snapshot)
    await this.#host.prlctl.change(['snapshot-delete', argumentOf(vm), '-i', argumentOf(id)])
    const { state } = (await this.#work.afterwards(() => this.#host.look(vm))).record
    await this.#work.settle(vm, state, state)
    await this.#work.afterwards(() => this.#host.snapshots(vm, { isChange: true }))
  }

  async #list(vm: string, options?: { readonly isChange: boolean }): Promise<Snapshot[]> {
    const told = await this.#host.snapshots(vm, options)
    const snapshots: Snapshot[] = []
    if (this.#host.prlctl.flavour === 'desktop') {
      const zone = await this.#host.transport.zone()
      for (const listed of snapshotsOfJson(jsonIn(told, 'object'), zone)) {
        snapshots.push({ ...listed, description: (await this.#detailsOf(vm, listed.id)).description })
      }
    } else {
      for (const row of snapshotIdsOfTable(told)) snapshots.push({ ...row, ...(await this.#detailsOf(vm, row.id)) })
    }
    return snapshots.sort(byAge)
  }

  async #detailsOf(vm: string, id: string): Promise<ReturnType<typeof snapshotDetails>> {
    const known = this.#details.get(id)
    if (known !== undefined || !isId(id)) return known ?? snapshotDetails('', undefined)
    const output = await this.#host.prlctl.read('snapshot-list', argumentOf(vm), '-i', argumentOf(id))
    const details = snapshotDetails(output, await this.#host.transport.zone())
    this.#details.set(id, details)
    return details
  }
}

const byAge = (a: ListedSnapshot, b: ListedSnapshot): number => a.createdAt.getTime() - b.createdAt.getTime()
