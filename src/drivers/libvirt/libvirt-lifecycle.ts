import type { DriverOperations } from '../../driver/driver.js'
import { hostTask } from '../../driver/host-task.js'
import type { Task } from '../../driver/task.js'
import { invalidState, stoppedBeforeShutdown } from '../../errors/state.js'
import type { VmRecord } from '../../model/vm-record.js'
import type { VmState } from '../../model/vm-state.js'
import { operations } from '../../operations.js'
import { isAsleep, vmStateOf } from './domain-states.js'
import { endCrashed } from './end-crashed.js'
import { domainOf, type LibvirtHost } from './libvirt-host.js'
import { expectedStates, type LibvirtWork } from './libvirt-work.js'
import type { Domain } from './rpc/procedures.js'
import { saveMemory } from './save-memory.js'
import { pressUntil } from './shutdown.js'

/** Changes of a VM's state. */
export class LibvirtLifecycle {
  readonly #host: LibvirtHost
  readonly #work: LibvirtWork

  constructor(host: LibvirtHost, work: LibvirtWork) {
    this.#host = host
    this.#work = work
  }

  readonly operations: DriverOperations = {
    'vm.getState': ({ vm }, task) => this.#work.query(task, vm, async () => (await this.#host.look(vm)).state),
    'vm.start': ({ vm }, task) =>
      this.#change(vm, task, async (dom, record) => {
        await endCrashed(this.#host, record)
        await this.#host.pool.callLong('domain_create_with_flags', { dom, flags: 0 })
      }),
    'vm.pause': ({ vm }, task) => this.#change(vm, task, (dom) => this.#host.pool.callLong('domain_suspend', { dom })),
    'vm.resume': ({ vm }, task) => this.#change(vm, task, (dom, { state }) => this.#resume(dom, state)),
    'vm.suspend': ({ vm }, task) => this.#change(vm, task, (dom) => saveMemory(this.#host.pool, dom, task)),
    'vm.reset': ({ vm }, task) => this.#change(vm, task, (dom, { state }) => this.#reset(dom, state)),
    'vm.restart': ({ vm }, task) => this.#restart(vm, task),
    'vm.stop': ({ vm, mode }, task) => (mode === 'kill' ? this.#kill(vm, task) : this.#shutDown(vm, task)),
  }

  #change(vm: string, task: Task, action: (dom: Domain, record: VmRecord) => Promise<unknown>): Promise<VmState> {
    return this.#work.change(task, vm, async (record, send) => {
      send()
      await action(domainOf(vm, record.config.name), record)
      return await this.#work.reached(vm)
    })
  }

  /** From saved memory by a start; a guest that has gone to sleep by itself is woken up. */
  async #resume(dom: Domain, from: VmState): Promise<void> {
    const { pool } = this.#host
    if (from === 'suspended') {
      await pool.callLong('domain_create_with_flags', { dom, flags: 0 })
      // It may have been paused when its memory was saved by another client.
      if ((await this.#work.reached(dom.uuid)) !== 'paused') return
    }
    const { state } = await this.#host.stateOf(dom.uuid)
    if (isAsleep(state)) await pool.callLong('domain_pm_wakeup', { dom, flags: 0 })
    else await pool.callLong('domain_resume', { dom })
  }

  async #reset(dom: Domain, from: VmState): Promise<void> {
    const { pool } = this.#host
    await pool.callLong('domain_reset', { dom, flags: 0 })
    if (from === 'paused') await pool.callLong('domain_resume', { dom })
  }

  #kill(vm: string, task: Task): Promise<VmState> {
    const kill = async ({ state, config: { name } }: VmRecord, send: () => void): Promise<VmState> => {
      const dom = domainOf(vm, name)
      if (state === 'stopped') return state
      send()
      if (state === 'suspended') await this.#host.pool.callLong('domain_managed_save_remove', { dom, flags: 0 })
      else await this.#host.pool.callLong('domain_destroy_flags', { dom, flags: 0 })
      return await this.#work.reached(vm)
    }
    return this.#work.change(task, vm, kill, { expected: operations['vm.stop'].fromKill })
  }

  /** The operation can't be cancelled: a press of the button can't be taken back. */
  #shutDown(vm: string, task: Task): Promise<VmState> {
    return this.#patiently(vm, task, async (dom, givenUp) => {
      const state = await pressUntil(this.#host, vm, {
        press: () =>
          this.#pressUnlessOff(vm, () => this.#host.pool.callLong('domain_shutdown_flags', { dom, flags: 0 })),
        look: () => this.#unlessOn(vm),
        givenUp,
      })
      // Another client may have saved its memory, or the guest crashed.
      if (state !== 'stopped') throw invalidState(state, expectedStates(task))
      return state
    })
  }

  #restart(vm: string, task: Task): Promise<VmState> {
    return this.#patiently(vm, task, async (dom, givenUp) => {
      const before = this.#host.rebootsOf(vm)
      const press = (): Promise<unknown> => this.#host.pool.callLong('domain_reboot', { dom, flags: 0 })
      const look = async (): Promise<VmState | undefined> => {
        if ((await this.#unlessOn(vm)) !== undefined) throw stoppedBeforeShutdown()
        return this.#host.rebootsOf(vm) > before ? await this.#work.reached(vm) : undefined
      }
      if (this.#host.address.hypervisor !== 'test') {
        return await pressUntil(this.#host, vm, { press: () => this.#pressUnlessOff(vm, press), look, givenUp })
      }
      // libvirt's test driver restarts its guests at once, and tells nothing.
      await press()
      return await this.#work.reached(vm)
    })
  }

  async #pressUnlessOff(vm: string, press: () => Promise<unknown>): Promise<void> {
    try {
      await press()
    } catch (error) {
      // The guest was faster.
      if ((await this.#unlessOn(vm)) === undefined) throw error
    }
  }

  /** The state of a VM that is off. */
  async #unlessOn(vm: string): Promise<VmState | undefined> {
    const { state, isSaved } = await this.#host.stateOf(vm)
    const reached = vmStateOf(state, isSaved)
    return reached === 'stopped' || reached === 'suspended' || reached === 'crashed'
      ? await this.#work.reached(vm)
      : undefined
  }

  /** While the guest takes its time, other changes of the VM don't wait. When the job's time is over, the guest is not asked again. */
  #patiently(
    vm: string,
    task: Task,
    action: (dom: Domain, givenUp: AbortSignal) => Promise<VmState>,
  ): Promise<VmState> {
    return this.#work.change(
      task,
      vm,
      async ({ config: { name } }, send) => {
        const wait = new AbortController()
        const forget = hostTask(task).onGivenUp(() => {
          wait.abort()
        })
        task.progress({ percent: 10, phase: 'waiting for the guest' })
        try {
          send()
          return await action(domainOf(vm, name), AbortSignal.any([wait.signal, this.#host.work.closing]))
        } finally {
          forget()
        }
      },
      { isPatient: true },
    )
  }
}
