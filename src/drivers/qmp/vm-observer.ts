import { inBackground } from '../../background.js'
import { isExhaustion } from '../../errors/errno.js'
import { FolderWatcher } from '../../files/folder-watcher.js'
import type { VmEvent } from '../../model/vm-event.js'
import type { VmState } from '../../model/vm-state.js'
import { parseClaim, type Claim } from '../../registry/claim.js'
import { DamagedVm } from '../../registry/damaged-vm.js'
import { isAlive, type ProcessIdentity } from '../../registry/process-identity.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { runFiles } from './run-files.js'
import { isSame } from '../../model/is-same.js'
import { cutLog } from './logs/cut-log.js'
import type { Definition } from './definition.js'
import { configOf, stateAtRest } from '../../registry/kept-definition.js'
import { runLogs } from './logs/kept-part.js'
import { seeToStray } from './process/stray-qemus.js'
import { lastChange } from './logs/last-change.js'
import { newWatchedVm, type WatchedVm } from './watched-vm.js'
import type { Sight, VmInspector } from './vm-inspector.js'

type StateReason = 'guest' | 'request' | 'crash' | 'disk-full'

/** How often to see whether a QEMU is still there, since one that is killed says nothing, and whether its guest has printed. */
const pollMs = 200

/**
 * Tells what happens to VMs, whoever does it. What this connection does, its operations tell; for the rest the files are
 * watched: definitions, claims, and the log of each QEMU's events. Everybody sees the same files.
 */
export class VmObserver {
  readonly #directory: VmDirectory<Definition>
  readonly #inspector: VmInspector
  readonly #emit: (event: VmEvent) => void
  readonly #vms = new Map<string, WatchedVm>()
  /** VMs that could not be looked at for the moment, and that are not known yet. */
  readonly #unseen = new Set<string>()
  #watcher: FolderWatcher | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(directory: VmDirectory<Definition>, inspector: VmInspector, emit: (event: VmEvent) => void) {
    this.#directory = directory
    this.#inspector = inspector
    this.#emit = emit
  }

  async open(): Promise<void> {
    this.#watcher = new FolderWatcher(this.#directory.vms, (name) => {
      if (name !== null && /^[0-9a-f-]{36}$/.test(name)) this.look(name)
    })
    for (const id of await this.#directory.ids()) this.#add(id)
    for (const [id, watched] of this.#vms) {
      this.#cutLogs(id, watched)
      this.look(id)
    }
    // It also keeps this process alive, as any open connection does: jobs, events and consoles may be waited for.
    this.#timer = setInterval(() => {
      inBackground('Watching the directory', () => this.#tendDirectory())
      for (const [id, watched] of this.#vms) {
        inBackground(`Watching the VM ${id}`, () => {
          this.#tend(id, watched)
        })
      }
    }, pollMs)
  }

  async #tendDirectory(): Promise<void> {
    for (const id of this.#unseen) {
      this.#unseen.delete(id)
      this.look(id)
    }
    if (this.#watcher?.renew() !== false) return
    for (const id of await this.#directory.ids()) if (!this.#vms.has(id)) this.look(id)
  }

  #tend(id: string, watched: WatchedVm): void {
    const { process, onConsole, onEnd, watcher, isLooking, mustLookAgain } = watched
    const awaited = [...onEnd.keys(), ...(process === undefined ? [] : [process])]
    const isUnwatched = watcher?.renew() === false
    if (isUnwatched || (mustLookAgain && !isLooking) || awaited.some((one) => !this.#isAlive(id, one))) this.look(id)
    // A watcher may miss a change.
    for (const listener of onConsole) listener()
    this.#cutLogs(id, watched)
  }

  close(): void {
    this.#isClosed = true
    clearInterval(this.#timer)
    this.#watcher?.close()
    for (const id of [...this.#vms.keys()]) this.#remove(id)
  }

  /** An operation of this connection works on the VM, and tells what it does. */
  async owning<T>(id: string, action: () => Promise<T>): Promise<T> {
    const watched = this.#vms.get(id)
    if (watched === undefined) return action()
    watched.owners += 1
    try {
      return await action()
    } finally {
      watched.owners -= 1
      watched.epoch += 1
      this.look(id)
    }
  }

  /** An operation of this connection has the VM. */
  tellClaim(id: string, { owner }: Claim): void {
    const watched = this.#vms.get(id)
    if (watched !== undefined) watched.ownClaim = owner
  }

  /** A state that this connection has brought a VM into; `before` is what it was, for the first that is told of it. */
  tellState(
    { id }: Pick<Definition, 'id'>,
    state: VmState,
    details: { before?: VmState; reason?: StateReason; message?: string | undefined } = {},
  ): void {
    const watched = this.#vms.get(id)
    if (watched === undefined) return
    watched.epoch += 1
    watched.state ??= details.before
    this.#setState(id, watched, state, details.reason ?? 'request', details.message)
  }

  /** What this connection has made of a VM. */
  tellDefinition(definition: Definition): void {
    const watched = this.#vms.get(definition.id)
    if (watched === undefined) this.#addNew(definition, stateAtRest(definition))
    else {
      watched.epoch += 1
      this.#setDefinition(watched, definition)
    }
  }

  tellDeleted({ id }: Pick<Definition, 'id'>): void {
    if (this.#vms.has(id)) this.#delete(id)
  }

  /** What was told last of a VM. */
  stateOf(id: string): VmState | undefined {
    return this.#vms.get(id)?.state
  }

  /** Calls the listener whenever the guest may have printed something, until the returned function is called. */
  onConsole(id: string, listener: () => void): () => void {
    const listeners = this.#vms.get(id)?.onConsole
    listeners?.add(listener)
    return () => void listeners?.delete(listener)
  }

  /** Resolves when the QEMU is gone, or nobody looks any more. */
  async ended(id: string, process: ProcessIdentity): Promise<void> {
    const watched = this.#vms.get(id)
    if (watched === undefined) return
    await new Promise<void>((resolve) => {
      const waiting = watched.onEnd.get(process) ?? new Set()
      watched.onEnd.set(process, waiting.add(resolve))
      this.look(id)
    })
  }

  /** Looks at the VM, now or as soon as the look that is under way has ended. */
  look(id: string): void {
    const watched = this.#vms.get(id)
    if (this.#isClosed) return
    // An operation of this connection tells what it does itself, and looks when it has ended.
    if (watched !== undefined && watched.owners > 0) {
      inBackground(`Waiting for the VM ${id}`, () => {
        this.#tellEnds(id, watched)
      })
      return
    }
    if (watched?.isLooking === true) watched.mustLookAgain = true
    else inBackground(`Looking at the VM ${id}`, () => this.#tryToLook(id, watched))
  }

  /** What can't be read for the moment is read again. */
  async #tryToLook(id: string, watched: WatchedVm | undefined): Promise<void> {
    try {
      await this.#look(id, watched)
    } catch (error) {
      const mustLookAgain = isExhaustion(error)
      if (watched !== undefined) Object.assign(watched, { isLooking: false, mustLookAgain })
      else if (mustLookAgain) this.#unseen.add(id)
      throw error
    }
  }

  async #look(id: string, watched: WatchedVm | undefined): Promise<void> {
    if (watched === undefined) {
      const found = await this.#directory.find(id)
      if (found !== undefined && !this.#isClosed && !this.#vms.has(id)) this.#addNew(found, undefined)
      return
    }
    watched.isLooking = true
    do {
      watched.mustLookAgain = false
      const { epoch } = watched
      const found = await this.#directory.find(id)
      const sight = found === undefined ? undefined : await this.#inspector.glance(found)
      if (this.#isClosed || this.#vms.get(id) !== watched) return
      if (found === undefined || sight === undefined) this.#delete(id)
      else if (watched.epoch !== epoch) watched.mustLookAgain = watched.owners === 0
      else this.#see(watched, found, sight)
    } while (watched.mustLookAgain)
    watched.isLooking = false
  }

  #see(watched: WatchedVm, found: Definition | DamagedVm, sight: Sight): void {
    const { process } = watched
    // One that runs on without its record may be that of a folder that is being removed.
    const isWithoutRecord = process !== undefined && sight.run === undefined && this.#isAlive(found.id, process)
    if (!isWithoutRecord) watched.process = sight.run?.process
    if (watched.owners === 0) {
      if (!(found instanceof DamagedVm)) {
        if (watched.definition === undefined) this.#baseline(watched, found)
        else this.#setDefinition(watched, found)
      }
      const { state, end, message, problem } = sight
      if (watched.state === undefined) watched.state = state
      else if (problem !== undefined) this.#setState(found.id, watched, state, 'disk-full', problem.message)
      else this.#setState(found.id, watched, state, end, state === 'unknown' || end === 'crash' ? message : undefined)
    }
    this.#tellEnds(found.id, watched)
  }

  #isAlive(id: string, process: ProcessIdentity): boolean {
    return isAlive(process, this.#directory.folder(id))
  }

  #tellEnds(id: string, { onEnd }: WatchedVm): void {
    for (const [process, waiting] of onEnd) {
      if (this.#isAlive(id, process)) continue
      onEnd.delete(process)
      for (const resolve of waiting) resolve()
    }
  }

  #setState(id: string, watched: WatchedVm, state: VmState, reason?: StateReason, message?: string): void {
    const previous = watched.state
    if (state === previous) return
    watched.state = state
    const more = { ...(reason !== undefined && { reason }), ...(message !== undefined && { message }) }
    this.#emit({ type: 'state', vmId: id, name: watched.name, state, previous, ...more, at: new Date() })
  }

  #setDefinition(watched: WatchedVm, definition: Definition): void {
    const { definition: before } = watched
    this.#baseline(watched, definition)
    if (before === undefined) return
    if (!isSame(configOf(before, true), configOf(definition, true))) this.#tell('config', definition)
    if (!isSame(snapshotPart(before), snapshotPart(definition))) this.#tell('snapshots', definition)
  }

  #baseline(watched: WatchedVm, definition: Definition): void {
    watched.definition = definition
    watched.name = definition.name
  }

  #addNew(vm: Definition | DamagedVm, state: VmState | undefined): void {
    const watched = this.#add(vm.id)
    if (vm instanceof DamagedVm) watched.name = vm.name
    else this.#baseline(watched, vm)
    watched.state = state
    this.#tell('created', vm)
    this.look(vm.id)
  }

  #add(id: string): WatchedVm {
    const watched = newWatchedVm(id)
    this.#vms.set(id, watched)
    watched.watcher = new FolderWatcher(this.#directory.folder(id), (name) => {
      if (name === null) return
      const log = runLogs.find((known) => known === name)
      if (log !== undefined) watched.grown.add(log)
      if (name === runFiles.console) for (const listener of watched.onConsole) listener()
      else this.#hear(id, watched, name)
    })
    return watched
  }

  #cutLogs(id: string, { grown }: WatchedVm): void {
    for (const log of grown) {
      inBackground(`Cutting the ${log} of the VM ${id}`, () => {
        cutLog(this.#directory.folder(id), log)
        grown.delete(log)
      })
    }
  }

  /** Something has happened to a file. Whoever changes the VM claims it first, and lets go of it afterwards. */
  #hear(id: string, watched: WatchedVm, file: string): void {
    if (watched.owners > 0) return
    const claim = parseClaim(file)
    const isOthers = claim !== undefined && claim.owner !== watched.ownClaim
    if (isOthers || file === 'vm.json' || (file === runFiles.eventLog && this.#hasChanged(id, watched))) this.look(id)
  }

  #hasChanged(id: string, watched: WatchedVm): boolean {
    try {
      const before = watched.change
      watched.change = lastChange(this.#directory.folder(id))
      return watched.change !== before
    } catch {
      // Of a log that can't be read, any line may tell of a change.
      return true
    }
  }

  #delete(id: string): void {
    const { name, process } = this.#vms.get(id) ?? { name: id }
    this.#remove(id)
    this.#tell('deleted', { id, name })
    if (process === undefined) return
    const folder = this.#directory.folder(id)
    inBackground(`Seeing to the QEMU of the removed VM ${id}`, () =>
      seeToStray({ id, name }, folder, process, (place) => this.#directory.ownerOf(place)),
    )
  }

  #remove(id: string): void {
    const watched = this.#vms.get(id)
    this.#vms.delete(id)
    watched?.watcher?.close()
    for (const waiting of watched?.onEnd.values() ?? []) for (const resolve of waiting) resolve()
  }

  #tell(type: 'created' | 'deleted' | 'config' | 'snapshots', { id, name }: Pick<Definition, 'id' | 'name'>): void {
    this.#emit({ type, vmId: id, name, at: new Date() })
  }
}

const snapshotPart = ({ snapshots, currentSnapshot }: Definition): unknown => ({
  snapshots: snapshots.map(({ hardware: _hardware, memory: _memory, ...visible }) => visible),
  currentSnapshot,
})
