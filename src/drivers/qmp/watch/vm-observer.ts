import { inBackground } from '../../../background.js'
import { Inventory } from '../../../driver/inventory.js'
import { isExhaustion } from '../../../errors/errno.js'
import { FolderWatcher } from '../../../files/folder-watcher.js'
import type { VmEvent } from '../../../model/vm-event.js'
import type { VmState } from '../../../model/vm-state.js'
import type { Claim } from '../../../registry/claim.js'
import { DamagedVm } from '../../../registry/damaged-vm.js'
import type { ProcessIdentity } from '../../../registry/process-identity.js'
import { stateAtRest } from '../../../registry/kept-definition.js'
import { shownConfig } from '../shown-config.js'
import type { VmDirectory } from '../../../registry/vm-directory.js'
import type { Definition } from '../definition.js'
import { seeToStray } from '../process/stray-qemus.js'
import type { Sight, VmInspector } from '../vm-inspector.js'
import { shownSnapshots, WatchedVm } from './watched-vm.js'

/** How often VMs are looked at although nothing was heard of them. */
const pollMs = 200

/**
 * Reports what happens to VMs as events. Operations of this connection tell what they do. For everything else, the files are
 * watched that all processes write: definitions, claims, and the log of each QEMU's events.
 */
export class VmObserver {
  readonly #directory: VmDirectory<Definition>
  readonly #inspector: VmInspector
  readonly #inventory: Inventory
  readonly #vms = new Map<string, WatchedVm>()
  /** New VMs that could not be read for the moment. */
  readonly #unread = new Set<string>()
  #watcher: FolderWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(directory: VmDirectory<Definition>, inspector: VmInspector, emit: (event: VmEvent) => void) {
    this.#directory = directory
    this.#inspector = inspector
    this.#inventory = new Inventory(emit)
  }

  async open(): Promise<void> {
    this.#watcher = new FolderWatcher(this.#directory.vms, (name) => {
      if (name !== null && /^[0-9a-f-]{36}$/.test(name)) this.look(name)
    })
    for (const id of await this.#directory.ids()) {
      this.#inventory.expect(id)
      this.#watch(id)
    }
    for (const vm of this.#vms.values()) {
      vm.cutLogs()
      vm.look()
    }
    // It also keeps this process alive, as any open connection does: jobs, events and consoles may be waited for.
    this.#timer = setInterval(() => {
      inBackground('Watching the directory', () => this.#tendDirectory())
      for (const [id, vm] of this.#vms) {
        inBackground(`Watching the VM ${id}`, () => {
          vm.tend()
        })
      }
    }, pollMs)
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    this.#watcher?.close()
    for (const vm of this.#vms.values()) vm.close()
    this.#vms.clear()
  }

  /** Looks at the VM, now or as soon as the look under way has ended. */
  look(id: string): void {
    if (this.#isClosed) return
    const vm = this.#vms.get(id)
    if (vm === undefined) inBackground(`Looking at the VM ${id}`, () => this.#lookForNew(id))
    else vm.look()
  }

  /** Runs an operation of this connection on the VM, which tells what it does. */
  async owning<T>(id: string, action: () => Promise<T>): Promise<T> {
    try {
      return await this.#inventory.during(id, action)
    } finally {
      // A look that began before is outdated.
      if (this.#inventory.has(id)) this.#inventory.observe({ id })
      this.#vms.get(id)?.look()
    }
  }

  /** Notes that an operation of this connection has the VM. */
  tellClaim(id: string, claim: Claim): void {
    this.#vms.get(id)?.noteClaim(claim)
  }

  /** Notes a state that this connection has brought a VM into; `before` is the state before, for the first that is noted. */
  tellState(
    { id }: Pick<Definition, 'id'>,
    state: VmState,
    { before, ...cause }: { readonly before: VmState; readonly reason?: 'crash'; readonly message?: string },
  ): void {
    if (!this.#inventory.has(id)) return
    if (this.#inventory.stateOf(id) === undefined) this.#inventory.observe({ id, state: before })
    this.#inventory.observe({ id, state, reason: 'request', ...cause })
  }

  /** Notes what this connection has made of a VM. */
  tellDefinition(definition: Definition): void {
    const { id } = definition
    const isNew = !this.#inventory.has(id)
    this.#inventory.observe({ id, config: shownConfig(definition, true) })
    this.#inventory.observeSnapshots(id, shownSnapshots(definition))
    if (isNew) {
      this.#inventory.observe({ id, state: stateAtRest(definition) })
      this.#watch(id).look()
    }
  }

  tellDeleted({ id }: Pick<Definition, 'id'>): void {
    if (this.#inventory.has(id)) this.#remove(id)
  }

  /** Looks at a VM for a caller. A state that the caller gets to know is told as an event before. */
  async inspect(definition: Definition, options: { readonly signal: AbortSignal | undefined }): Promise<Sight> {
    const askedAt = this.#inventory.ask()
    const sight = await this.#inspector.look(definition, options)
    this.#vms.get(definition.id)?.noteAsked(sight, askedAt)
    return sight
  }

  /** The state that was reported last. */
  stateOf(id: string): VmState | undefined {
    return this.#inventory.stateOf(id)
  }

  /** Calls the listener when the guest may have printed something, until the returned function is called. */
  onConsole(id: string, listener: () => void): () => void {
    return this.#vms.get(id)?.onPrinted(listener) ?? (() => undefined)
  }

  /** Resolves when the QEMU is gone, or the VM is not watched any more. */
  async ended(id: string, process: ProcessIdentity): Promise<void> {
    await this.#vms.get(id)?.ended(process)
  }

  async #tendDirectory(): Promise<void> {
    for (const id of this.#unread) {
      this.#unread.delete(id)
      this.look(id)
    }
    if (this.#watcher?.renew() !== false) return
    for (const id of await this.#directory.ids()) if (!this.#vms.has(id)) this.look(id)
  }

  async #lookForNew(id: string): Promise<void> {
    try {
      const found = await this.#directory.find(id)
      if (found === undefined || this.#isClosed || this.#vms.has(id)) return
      const isDamaged = found instanceof DamagedVm
      this.#inventory.observe({ id, ...(isDamaged ? { name: found.name } : { config: shownConfig(found, true) }) })
      if (!isDamaged) this.#inventory.observeSnapshots(id, shownSnapshots(found))
      this.#watch(id).look()
    } catch (error) {
      if (isExhaustion(error)) this.#unread.add(id)
      throw error
    }
  }

  #watch(id: string): WatchedVm {
    const vm = new WatchedVm(id, {
      directory: this.#directory,
      inspector: this.#inspector,
      inventory: this.#inventory,
      onGone: () => {
        this.#remove(id)
      },
    })
    this.#vms.set(id, vm)
    return vm
  }

  #remove(id: string): void {
    const vm = this.#vms.get(id)
    this.#vms.delete(id)
    vm?.close()
    const name = this.#inventory.configOf(id)?.name ?? id
    this.#inventory.forget(id)
    if (vm?.process === undefined) return
    const { process } = vm
    const folder = this.#directory.folder(id)
    inBackground(`Ending the QEMU of the removed VM ${id}`, () =>
      seeToStray({ id, name }, folder, process, (place) => this.#directory.ownerOf(place)),
    )
  }
}
