import { inBackground } from '../../../background.js'
import type { Inventory } from '../../../driver/inventory.js'
import { isExhaustion } from '../../../errors/errno.js'
import type { Claim } from '../../../registry/claim.js'
import { DamagedVm } from '../../../registry/damaged-vm.js'
import { shownConfig } from '../shown-config.js'
import { isAlive, type ProcessIdentity } from '../../../registry/process-identity.js'
import type { VmDirectory } from '../../../registry/vm-directory.js'
import type { Definition } from '../definition.js'
import type { Sight, VmInspector } from '../vm-inspector.js'
import { ProcessEnds } from './process-ends.js'
import { Rerun } from './rerun.js'
import { VmFolder } from './vm-folder.js'

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly inspector: VmInspector
  readonly inventory: Inventory
  /** Called when the VM is not there any more. */
  readonly onGone: (id: string) => void
}

/** One VM that is watched: it is looked at when something may have happened, and what is seen goes to the inventory. */
export class WatchedVm {
  readonly #id: string
  readonly #parts: Parts
  readonly #folder: VmFolder
  readonly #ends: ProcessEnds
  readonly #looking = new Rerun(() => this.#look())
  readonly #printed = new Set<() => void>()
  #process: ProcessIdentity | undefined
  /** True if the last look failed since this process had too little of something. */
  #isOverdue = false
  #isClosed = false

  constructor(id: string, parts: Parts) {
    const { directory, inventory } = parts
    this.#id = id
    this.#parts = parts
    this.#ends = new ProcessEnds((process) => this.#isAlive(process))
    this.#folder = new VmFolder(directory.folder(id), {
      isBusy: () => inventory.isBusy(id),
      onChange: () => {
        this.look()
      },
      onPrinted: () => {
        this.#tellPrinted()
      },
    })
  }

  /** The QEMU that was seen last. */
  get process(): ProcessIdentity | undefined {
    return this.#process
  }

  /** Notes that an operation of this connection has the VM. */
  noteClaim({ owner }: Claim): void {
    this.#folder.ownClaim = owner
  }

  /** Looks at the VM, now or as soon as the look under way has ended. */
  look(): void {
    if (this.#isClosed) return
    const id = this.#id
    // An operation of this connection tells its changes itself, and the VM is looked at when it has ended.
    if (this.#parts.inventory.isBusy(id)) {
      inBackground(`Waiting for the VM ${id}`, () => {
        this.#ends.tell()
      })
    } else inBackground(`Looking at the VM ${id}`, () => this.#looking.run())
  }

  /** To be called from time to time: QEMU does not report that it was killed, and a watcher may miss a change. */
  tend(): void {
    const hasEnded = this.#process !== undefined && !this.#isAlive(this.#process)
    const isUnwatched = !this.#folder.renew()
    if (hasEnded || isUnwatched || this.#isOverdue || this.#ends.isDue) this.look()
    this.#tellPrinted()
    this.cutLogs()
  }

  cutLogs(): void {
    this.#folder.cutLogs()
  }

  /** Calls the listener when the guest may have printed something, until the returned function is called. */
  onPrinted(listener: () => void): () => void {
    this.#printed.add(listener)
    return () => void this.#printed.delete(listener)
  }

  /** Resolves when the process is gone, or the VM is not watched any more. */
  ended(process: ProcessIdentity): Promise<void> {
    const ended = this.#ends.until(process)
    this.look()
    return ended
  }

  /** Notes a look at the VM for a caller. */
  noteAsked(sight: Sight, askedAt: number): void {
    // Operations of this connection tell their states themselves, and a guest whose QEMU did not answer in time may do so again.
    if (sight.state === 'unknown' || this.#parts.inventory.isBusy(this.#id)) return
    this.#noteState(sight, askedAt)
  }

  close(): void {
    this.#isClosed = true
    this.#folder.close()
    this.#ends.close()
  }

  async #look(): Promise<{ readonly isOutdated: boolean }> {
    const { directory, inspector, inventory, onGone } = this.#parts
    try {
      const askedAt = inventory.ask()
      const found = await directory.find(this.#id)
      const sight = found && (await inspector.glance(found))
      this.#isOverdue = false
      if (this.#isClosed) return { isOutdated: false }
      if (found === undefined || sight === undefined) {
        onGone(this.#id)
        return { isOutdated: false }
      }
      return { isOutdated: !this.#see(found, sight, askedAt) }
    } catch (error) {
      this.#isOverdue = isExhaustion(error)
      throw error
    }
  }

  /** Notes what was seen; false if this connection has changed the VM since. */
  #see(found: Definition | DamagedVm, sight: Sight, askedAt: number): boolean {
    const { inventory } = this.#parts
    // A QEMU that runs on without its record may be that of a folder that is being removed.
    const isWithoutRecord = this.#process !== undefined && sight.run === undefined && this.#isAlive(this.#process)
    if (!isWithoutRecord) this.#process = sight.run?.process
    const isCurrent = inventory.isBusy(this.#id) || this.#note(found, sight, askedAt)
    this.#ends.tell()
    return isCurrent
  }

  #note(found: Definition | DamagedVm, sight: Sight, askedAt: number): boolean {
    const { inventory } = this.#parts
    const id = this.#id
    if (!(found instanceof DamagedVm)) {
      if (!inventory.observe({ id, config: shownConfig(found, true) }, askedAt)) return false
      inventory.observeSnapshots(id, shownSnapshots(found))
    }
    return this.#noteState(sight, askedAt)
  }

  #noteState({ state, end, message, problem }: Sight, askedAt: number): boolean {
    const told = state === 'unknown' || end === 'crash' ? message : undefined
    const cause = problem === undefined ? { reason: end, message: told } : { reason: 'disk-full' as const, problem }
    return this.#parts.inventory.observe({ id: this.#id, state, ...cause }, askedAt)
  }

  #tellPrinted(): void {
    for (const listener of this.#printed) listener()
  }

  #isAlive(process: ProcessIdentity): boolean {
    return isAlive(process, this.#parts.directory.folder(this.#id))
  }
}

/** What users see of the snapshots. */
export const shownSnapshots = ({ snapshots, currentSnapshot }: Definition): unknown => ({
  snapshots: snapshots.map(({ hardware: _hardware, memory: _memory, ...shown }) => shown),
  currentSnapshot,
})
