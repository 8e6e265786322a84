import { randomUUID } from 'node:crypto'
import type { DriverOperations, Task, VmRecord } from '../../driver.js'
import { invalidState } from '../../errors/state.js'
import { JobCancelledError, OutcomeUnknownError, ResourceBusyError } from '../../errors.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import {
  changeHardware,
  commandsFor,
  refuseSettings,
  requireImages,
  type ConfigurationCommands,
} from './configuration.js'
import type { ParallelsHost } from './host.js'
import { parallelsError } from './parallels-errors.js'
import { ParallelsFailure } from './parallels-failure.js'
import { progressIn } from './progress-lines.js'
import { argumentOf, bareId, isId } from './vm-id.js'
import type { VmInfo } from './vm-info.js'
import type { VmWork } from './vm-work.js'

/** A disk of a terabyte may be copied from one end to the other. */
const copyTimeoutMs = 12 * 3_600_000

/** Making VMs, changing their settings, and taking them away. */
export class Provisioning {
  readonly #host: ParallelsHost
  readonly #work: VmWork

  constructor(host: ParallelsHost, work: VmWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'server.createVm': ({ spec }, task) => this.#create(spec, task),
    'server.registerVm': ({ path }, task) =>
      this.#work.guard({ operation: task.operation, path: 'path' }, () => this.#register(path)),
    'vm.edit': ({ vm, changes }, task) =>
      this.#work.change(task, vm, (info) => this.#edit(info, changes), { path: 'changes' }),
    'vm.clone': ({ vm, name, linked }, task) => {
      // Made before any waiting, so that the job can be cancelled from its first moment.
      const { signal } = task
      return this.#work.change(task, vm, () => this.#clone(vm, { name, linked, signal, task }))
    },
    'vm.delete': ({ vm }, task) => this.#work.change(task, vm, () => this.#takeAway(vm, 'delete')),
    'vm.unregister': ({ vm }, task) => this.#work.change(task, vm, () => this.#takeAway(vm, 'unregister')),
  }

  #create(spec: VmSpec, task: Task): Promise<VmRecord> {
    const { signal } = task
    return this.#work.guard({ operation: task.operation, path: 'spec' }, async () => {
      refuseSettings(spec)
      await requireImages(spec, this.#host.transport, 'spec')
      // A name that prlctl would take for an option, or for an id, is given to a VM that is there already.
      const isPlain = !spec.name.startsWith('-') && !isId(bareId(spec.name))
      const name = isPlain ? spec.name : `awaitvm-${randomUUID()}`
      return await this.#host.making([name, spec.name], async () => {
        const record = await this.#createAs(name, spec, signal)
        this.#host.inventory.observe(record, this.#host.inventory.now())
        return record
      })
    })
  }

  async #createAs(name: string, spec: VmSpec, signal: AbortSignal): Promise<VmRecord> {
    signal.throwIfAborted()
    await this.#host.prlctl.change(['create', name, '--no-hdd'], { signal, heedsInterrupts: true })
    const info = await this.#named(name)
    try {
      signal.throwIfAborted()
      await this.#apply(info.record.id, commandsFor({ cpus: 1, ...spec }, info.record.config, info.devices), signal)
      return (await this.#host.prlctl.info(info.record.id)).record
    } catch (error) {
      await this.#removeHalf(info, error)
      if (signal.aborted) throw new JobCancelledError({ reason: 'it was cancelled', cause: error })
      throw error
    }
  }

  /** What was made is taken away again, since it is not what was asked for. */
  async #removeHalf({ record }: VmInfo, cause: unknown): Promise<void> {
    try {
      await this.#host.prlctl.change(['delete', argumentOf(record.id)])
    } catch (error) {
      const failure = parallelsError(error, { operation: 'server.createVm' })
      throw new OutcomeUnknownError({
        reason: `it was made, and could neither be finished nor removed: ${failure.reason}`,
        hint: `Delete the VM ${JSON.stringify(record.config.name)} of the id ${record.id}.`,
        native: failure.native,
        cause,
      })
    }
  }

  async #apply(vm: string, { settings, devices }: ConfigurationCommands, signal?: AbortSignal): Promise<void> {
    const set = ['set', argumentOf(vm)]
    for (const words of [settings, ...devices]) {
      if (words.length === 0) continue
      signal?.throwIfAborted()
      try {
        await this.#host.prlctl.change([...set, ...words])
      } catch (error) {
        // Whatever prlctl finds wrong with a setting, it says in words of its own.
        const isWrongSetting =
          error instanceof ParallelsFailure && error.kind === 'other' && error.message.includes('configure')
        throw isWrongSetting ? new ParallelsFailure('argument', error.native, error) : error
      }
    }
  }

  /** The VM that was just made under this name. */
  async #named(name: string): Promise<VmInfo> {
    const info = (await this.#host.list()).find(({ record }) => record.config.name === name)
    if (info !== undefined) return info
    throw new OutcomeUnknownError({
      reason: `prlctl said that the VM ${JSON.stringify(name)} was made, and does not list it`,
      hint: 'Look whether it is there with server.getVmList().',
    })
  }

  async #register(path: string): Promise<VmRecord> {
    const before = new Set((await this.#host.list()).map(({ record }) => record.id))
    const keepsId = this.#host.prlctl.flavour === 'desktop' ? '--preserve-uuid=yes' : '--preserve-uuid'
    await this.#host.prlctl.change(['register', path, keepsId])
    const infos = await this.#host.list()
    const home = path.replace(/\/+$/, '')
    const found = infos.find((info) => info.home === home) ?? infos.find(({ record }) => !before.has(record.id))
    if (found !== undefined) return found.record
    throw new OutcomeUnknownError({
      reason: 'prlctl said that the VM was registered, and does not list it',
      hint: 'Look whether it is there with server.getVmList().',
    })
  }

  async #edit({ record, devices }: VmInfo, changes: VmChanges): Promise<VmRecord> {
    const { id, state, config } = record
    refuseSettings(changes)
    const commands = commandsFor(changes, config, devices)
    const needsStop = changeHardware(commands) || commands.settings.includes('--name')
    if (needsStop && state !== 'stopped') throw invalidState(state, ['stopped'])
    await requireImages(changes, this.#host.transport, 'changes')
    await this.#apply(id, commands)
    return (await this.#host.look(id)).record
  }

  async #clone(
    vm: string,
    { name, linked, signal, task }: { name: string; linked: boolean; signal: AbortSignal; task: Task },
  ): Promise<VmRecord> {
    const words = ['clone', argumentOf(vm), '--name', name, ...(linked ? ['--linked'] : [])]
    const before = new Set((await this.#host.list()).map(({ record }) => record.id))
    signal.throwIfAborted()
    try {
      await this.#host.prlctl.change(words, {
        signal,
        heedsInterrupts: true,
        timeoutMs: copyTimeoutMs,
        onOutput: (piece) => {
          const progress = progressIn(piece.toString())
          if (progress !== undefined) task.progress(progress)
        },
      })
    } catch (error) {
      const isNotFound = error instanceof ParallelsFailure && error.kind === 'vm-not-found'
      // Of linked clones of one VM at once, some fail as if it were not there.
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
    const made = (await this.#host.list()).find(({ record }) => record.config.name === name && !before.has(record.id))
    if (made !== undefined) return made.record
    throw new OutcomeUnknownError({
      reason: `prlctl said that the clone ${JSON.stringify(name)} was made, and does not list it`,
      hint: 'Look whether it is there with server.getVmList().',
    })
  }

  async #takeAway(vm: string, command: 'delete' | 'unregister'): Promise<void> {
    await this.#host.prlctl.change([command, argumentOf(vm)])
    this.#host.inventory.forget(vm)
  }
}
