import type { Task } from '../../driver/task.js'
import { unlessDeleted, vmNotFound } from '../../errors/lookup.js'
import { goneMeanwhile, invalidState, requireState } from '../../errors/state.js'
import type { VmState } from '../../model/vm-state.js'
import type { OperationCode } from '../../operations.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import type { Definition } from './definition.js'
import type { HeldVm } from './held-vm.js'
import { GuestLife } from './process/guest-life.js'
import type { QmpClient } from './protocol/qmp-client.js'
import { QmpConnectionError } from './protocol/qmp-errors.js'
import type { RunRecord } from './process/run-record.js'
import type { VmInspector } from './vm-inspector.js'
import type { ChangeOptions, VmLifecycle } from './vm-lifecycle.js'

interface Parts {
  readonly directory: VmDirectory<Definition>
  readonly inspector: VmInspector
  readonly lifecycle: VmLifecycle
}

/** A VM that runs, as those see it who only look at it or send it something. */
export interface RunningVm {
  readonly definition: Definition
  readonly folder: string
  readonly run: RunRecord
  readonly monitor: <T>(action: (client: QmpClient) => Promise<T>) => Promise<T>
  /** The state at present, as everybody sees it. */
  readonly look: () => Promise<VmState>
  /** Throws where it is another life of the guest than when the VM was first looked at. */
  readonly requireSameLife: () => Promise<void>
}

/** How operations get at a VM: alone, to change it, or beside others, where it runs. */
export class VmAccess {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  async get(id: string): Promise<Definition> {
    const definition = await this.#parts.directory.get(id)
    if (definition === undefined) throw vmNotFound(id)
    return definition
  }

  /** Changes a VM that is in one of the states that the operation needs, with nobody else at it. */
  change<T>(id: string, task: Task, action: (held: HeldVm) => Promise<T>, how?: ChangeOptions): Promise<T> {
    const work = this.#parts.lifecycle.change(id, task, action, how)
    return work.catch((error: unknown) => this.#explain(id, task, error))
  }

  /** Looks at a VM that runs, or sends it something, whatever else is being done to it. */
  async use<T>(id: string, task: Task, action: (running: RunningVm) => Promise<T>): Promise<T> {
    const { inspector } = this.#parts
    const send = task.holdBack()
    const { state, run, definition, problem } = await untilSent(task, async (signal) => {
      const found = await this.get(id)
      return { ...(await inspector.look(found, { signal })), definition: found }
    })
    requireState(task.operation, state, undefined, problem)
    if (run === undefined) throw invalidState(state, ['running'])
    const running = this.#running(definition, run, task.operation)
    send()
    return action(running).catch((error: unknown) => this.#explain(id, task, error))
  }

  /** A VM as it runs now, for what no job waits for; nothing where it does not run. */
  async running(id: string, operation: OperationCode): Promise<RunningVm | undefined> {
    const definition = await this.get(id)
    const { state, run } = await this.#parts.inspector.look(definition)
    return state === 'running' && run !== undefined ? this.#running(definition, run, operation) : undefined
  }

  #running(definition: Definition, run: RunRecord, operation: OperationCode): RunningVm {
    const { directory, inspector } = this.#parts
    const { id } = definition
    const folder = directory.folder(id)
    const life = new GuestLife(folder, run)
    const look = async (): Promise<VmState> => (await inspector.look(await this.get(id))).state
    return {
      definition,
      folder,
      run,
      monitor: (use) => inspector.monitor(id, use),
      look,
      async requireSameLife() {
        if (await life.isOver()) throw goneMeanwhile(operation, await look())
      },
    }
  }

  /** A connection that broke says little: that the guest has gone while something was being done to it says more. */
  async #explain(id: string, { operation }: Task, failure: unknown): Promise<never> {
    const error = await unlessDeleted(failure, id, () => this.#parts.directory.find(id))
    if (!(error instanceof QmpConnectionError)) throw error
    const { state, message } = await this.#parts.inspector.lookAtRun(await this.get(id))
    const crash = message === undefined ? undefined : { driver: 'qmp', message }
    throw state === 'running' || state === 'paused' ? error : goneMeanwhile(operation, state, crash)
  }
}

/** Does what comes before anything is sent: it ends as soon as the job is cancelled, or its time is over. */
async function untilSent<T>(task: Task, action: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const stop = new AbortController()
  const abort = (reason?: string): void => {
    stop.abort(new DOMException(reason ?? 'it was cancelled before anything was sent', 'AbortError'))
  }
  const forgets = [task.cancelWith(abort), task.onGivenUp(abort)]
  try {
    return await action(stop.signal)
  } finally {
    for (const forget of forgets) forget()
  }
}
