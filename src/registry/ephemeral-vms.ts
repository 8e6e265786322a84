import { mkdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ResourceBusyError } from '../errors.js'
import { errorCode } from '../errors/native.js'
import type { VmState } from '../model/vm-state.js'
import type { Claim, Holder } from './claim.js'
import { DamagedVm } from './damaged-vm.js'
import type { Membership } from './membership.js'
import { namesIn } from './names-in.js'
import { parseIdentity } from './process-identity.js'
import type { WrittenVm } from './vm-format.js'

/** A VM, and the connection that it ends with. */
interface OwnedVm {
  readonly id: string
  readonly owner: string
}

/** The directory of the VMs. */
interface Directory<D> {
  find(id: string): Promise<D | DamagedVm | undefined>
  holder(id: string): Holder | undefined
  claim(id: string, state: VmState): Promise<{ readonly claim: Claim; readonly definition: D | undefined }>
  delete(id: string): Promise<void>
}

const pattern = /^(?<owner>.+)-(?<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})$/

/** Longest wait of a close for a change that another connection makes of an ephemeral VM. */
const busyTimeoutMs = 5000
const busyPollMs = 20
/** A VM in one of these states may be held for hours. */
const lastingStates: readonly VmState[] = ['running', 'paused']

/**
 * The VMs that end with the connection that made them. An empty file for each, `ephemeral/OWNER-ID`, tells later connections of
 * those whose owner has died, so that they need not read all definitions.
 *
 * An entry is never believed: the VM's definition says whose it is. An entry is there before its VM, and may outlast it.
 */
export class EphemeralVms<D extends WrittenVm> {
  readonly #folder: string
  readonly #member: Membership
  readonly #directory: Directory<D>
  /** The VMs of this connection. Without signs of life, all connections of a process are the same owner. */
  readonly #own = new Map<string, OwnedVm>()

  constructor(root: string, member: Membership, directory: Directory<D>) {
    this.#folder = join(root, 'ephemeral')
    this.#member = member
    this.#directory = directory
  }

  /** Notes a VM that this connection is about to own. */
  async note({ id, owner }: D, before: D | undefined): Promise<void> {
    if (owner === undefined || owner === before?.owner) return
    const vm = { id, owner }
    await mkdir(this.#folder, { recursive: true, mode: 0o700 })
    await writeFile(this.#path(vm), '', { mode: 0o600 })
    this.#own.set(id, vm)
  }

  /** Forgets the former owner of a VM. */
  async forget(before: D | undefined, after?: D): Promise<void> {
    if (before?.owner === undefined || before.owner === after?.owner) return
    await this.#drop({ id: before.id, owner: before.owner })
  }

  /**
   * Deletes the VMs of connections that have ended, but for those that another connection is working on: a later one deletes them.
   *
   * @param end ends what runs a VM
   * @param isClosing also those of this connection
   */
  async delete(end: (definition: D) => Promise<void>, isClosing: boolean): Promise<void> {
    const own = isClosing ? [...this.#own.values()] : []
    const vms = [...(await this.#left()), ...own]
    const deletions = await Promise.allSettled(vms.map((vm) => this.#delete(vm, end, isClosing)))
    for (const deletion of deletions) {
      if (deletion.status === 'fulfilled') continue
      if (isClosing) throw deletion.reason
      // The other VMs are no worse off for it.
      process.emitWarning(`An ephemeral VM can't be deleted: ${String(deletion.reason)}`, 'AwaitvmWarning')
    }
  }

  /** The VMs of connections that have ended. */
  async #left(): Promise<readonly OwnedVm[]> {
    const entries = await namesIn(this.#folder)
    return entries.flatMap((entry) => {
      const { owner = '', id = '' } = pattern.exec(entry)?.groups ?? {}
      const identity = parseIdentity(owner)
      return identity === undefined || this.#member.isConnected(identity) ? [] : [{ id, owner }]
    })
  }

  async #delete(vm: OwnedVm, end: (definition: D) => Promise<void>, isClosing: boolean): Promise<void> {
    const { id, owner } = vm
    const found = await this.#directory.find(id)
    // Whose it was can't be read.
    if (found instanceof DamagedVm) return
    if (found?.owner !== owner) return this.#drop(vm)
    const claimed = await this.#claim(id, isClosing ? busyTimeoutMs : 0)
    if (claimed === undefined) return
    const { claim, definition } = claimed
    try {
      if (definition?.owner !== owner) return
      await end(definition)
      await this.#directory.delete(id)
    } finally {
      claim.release()
    }
  }

  /** Returns `undefined` if another connection keeps the VM, or deletes it. */
  async #claim(id: string, patienceMs: number): Promise<Awaited<ReturnType<Directory<D>['claim']>> | undefined> {
    const deadline = performance.now() + patienceMs
    for (;;) {
      try {
        return await this.#directory.claim(id, 'stopping')
      } catch (error) {
        if (errorCode(error) === 'ENOENT') return undefined
        if (!(error instanceof ResourceBusyError)) throw error
      }
      const holder = this.#directory.holder(id)
      const isLasting = holder !== undefined && lastingStates.includes(holder.state)
      if (isLasting || performance.now() >= deadline) return undefined
      await delay(busyPollMs)
    }
  }

  async #drop(vm: OwnedVm): Promise<void> {
    await rm(this.#path(vm), { force: true })
    this.#own.delete(vm.id)
  }

  #path({ id, owner }: OwnedVm): string {
    return join(this.#folder, `${owner}-${id}`)
  }
}
