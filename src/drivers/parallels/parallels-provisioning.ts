import type { Sending } from '../../driver/host-work.js'
import type { DriverOperations } from '../../driver/driver.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { Task } from '../../driver/task.js'
import { nameIsId } from '../../errors/lookup.js'
import { OutcomeUnknownError, ResourceBusyError } from '../../errors.js'
import type { VmSpec } from '../../model/vm-spec.js'
import type { ParallelsHost } from './parallels-host.js'
import { ParallelsFailure } from './parallels-failure.js'
import { progressIn } from './progress-lines.js'
import { createVm } from './vm-creation.js'
import { editVm } from './vm-edit.js'
import { argumentOf } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import type { ParallelsWork } from './parallels-work.js'

/** Longest time for a copy of a disk, which may have terabytes. */
const copyTimeoutMs = 12 * 3_600_000

/** Creates, edits, clones and removes VMs. */
export class ParallelsProvisioning {
  readonly #host: ParallelsHost
  readonly #work: ParallelsWork

  constructor(host: ParallelsHost, work: ParallelsWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'server.createVm': ({ spec }, task) => {
      // Read before any waiting, so that the job can be cancelled from its first moment.
      const { signal } = task
      return this.#work.add(task, 'spec', ({ send }) => {
        this.#requireNoId(spec.name)
        return this.#create(spec, { signal, send })
      })
    },
    'server.registerVm': ({ path }, task) => this.#work.add(task, 'path', ({ send }) => this.#register(path, send)),
    'vm.edit': ({ vm, changes }, task) =>
      this.#work.change(
        task,
        vm,
        (info) => {
          this.#requireNoId(changes.name, vm)
          return editVm(this.#host, this.#work, info, changes)
        },
        { path: 'changes' },
      ),
    'vm.clone': ({ vm, name, linked }, task) => {
      const { signal } = task
      return this.#work.change(task, vm, (info) => {
        this.#requireNoId(name)
        return this.#clone(info, { name, linked, signal, task })
      })
    },
    'vm.delete': ({ vm }, task) => this.#work.change(task, vm, () => this.#work.remove(vm, 'delete')),
    'vm.unregister': ({ vm }, task) => this.#work.change(task, vm, () => this.#work.remove(vm, 'unregister')),
  }

  /** Refuses a name that is the id of a VM: a lookup by that name would find the other VM. */
  #requireNoId(name: string | undefined, own?: string): void {
    if (name !== undefined && name !== own && this.#host.inventory.has(name)) throw nameIsId(name)
  }

  async #create(spec: VmSpec, sending: Sending): Promise<VmRecord> {
    const { inventory } = this.#host
    return await this.#host.making(async () => {
      const record = await createVm(this.#host, this.#work, spec, sending)
      inventory.observe(record)
      return record
    })
  }

  async #register(path: string, send: () => void): Promise<VmRecord> {
    const before = new Set((await this.#host.list()).map(({ record }) => record.id))
    const keepsId = this.#host.prlctl.flavour === 'desktop' ? '--preserve-uuid=yes' : '--preserve-uuid'
    send()
    await this.#host.prlctl.change(['register', path, keepsId])
    const infos = await this.#work.afterwards(() => this.#host.list())
    const home = path.replace(/\/+$/, '')
    const found = infos.find((info) => info.home === home) ?? infos.find(({ record }) => !before.has(record.id))
    if (found !== undefined) return found.record
    throw new OutcomeUnknownError({
      reason: 'prlctl reported that the VM was registered, and does not list it',
      hint: 'Check with server.getVmList() whether it exists.',
    })
  }

  async #clone(
    { record: { id: vm }, disks }: VmInfo,
    { name, linked, signal, task }: { name: string; linked: boolean; signal: AbortSignal; task: Task },
  ): Promise<VmRecord> {
    const words = ['clone', argumentOf(vm), '--name', name, ...(linked ? ['--linked'] : [])]
    const before = new Set((await this.#host.list()).map(({ record }) => record.id))
    const made = async (): Promise<VmRecord | undefined> =>
      (await this.#host.list())
        .map(({ record }) => record)
        .find(({ id, config }) => config.name === name && !before.has(id))
    signal.throwIfAborted()
    try {
      await this.#work.changeOnce(words, async () => (await made()) !== undefined, {
        signal,
        heedsInterrupts: true,
        timeoutMs: copyTimeoutMs,
        onOutput: (piece) => {
          const progress = progressIn(piece.toString(), disks.length)
          if (progress !== undefined) task.progress(progress)
        },
      })
    } catch (error) {
      const isNotFound = error instanceof ParallelsFailure && error.kind === 'vm-not-found'
      // Linked clones of one VM at the same time are known to fail with this error.
      if (linked && isNotFound && (await this.#host.list()).some(({ record }) => record.id === vm)) {
        throw new ResourceBusyError({
          reason: 'another clone of it is being made',
          hint: 'Try again once that has ended.',
          native: error.native,
          cause: error,
        })
      }
      throw error
    }
    const record = await this.#work.afterwards(made)
    if (record !== undefined) return record
    throw new OutcomeUnknownError({
      reason: `prlctl reported that the clone ${JSON.stringify(name)} was created, and does not list it`,
      hint: 'Check with server.getVmList() whether it exists.',
    })
  }
}
