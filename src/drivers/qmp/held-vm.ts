import type { VmState } from '../../model/vm-state.js'
import type { Claim } from '../../registry/claim.js'
import type { VmDirectory } from '../../registry/vm-directory.js'
import { runFiles } from './run-files.js'
import type { Definition } from './definition.js'
import { openMonitor } from './process/monitor.js'
import type { QmpClient } from './protocol/qmp-client.js'
import type { RunRecord } from './process/run-record.js'
import type { VmObserver } from './watch/vm-observer.js'

/** How an operation is stopped. */
export interface Course {
  /** Aborted when the operation has to stop, since its job is cancelled or the connection is closed. */
  readonly signal: AbortSignal
  /** Marks the begin of the change; throws if its job has ended. */
  readonly send: () => void
  /** Marks the point after which only closing the connection stops the operation: nothing is undone any more. */
  readonly commit: () => void
}

/** A VM that this connection has claimed, so that no other connection changes it. */
export class HeldVm {
  #folder: string
  readonly #course: Course
  readonly #claim: Claim
  readonly #directory: VmDirectory<Definition>
  readonly #observer: VmObserver
  #definition: Definition
  #state: VmState
  /** The QEMU that runs it. */
  run: RunRecord | undefined

  constructor(
    parts: {
      readonly claim: Claim
      readonly directory: VmDirectory<Definition>
      readonly observer: VmObserver
      readonly course: Course
    },
    definition: Definition,
    state: VmState,
    run: RunRecord | undefined,
  ) {
    this.#course = parts.course
    this.#claim = parts.claim
    this.#directory = parts.directory
    this.#observer = parts.observer
    this.#folder = parts.directory.folder(definition.id)
    this.#definition = definition
    this.#state = state
    this.run = run
  }

  get signal(): AbortSignal {
    return this.#course.signal
  }

  commit(): void {
    this.#course.commit()
  }

  get folder(): string {
    return this.#folder
  }

  /** Call after the folder was renamed: the claim is released at its new path. */
  follow(folder: string): void {
    this.#folder = folder
    this.#claim.follow(folder)
  }

  get id(): string {
    return this.#definition.id
  }

  get definition(): Definition {
    return this.#definition
  }

  /** The state that every connection sees. */
  get state(): VmState {
    return this.#state
  }

  setState(state: VmState): void {
    const before = this.#state
    this.#claim.setState(state)
    this.#state = state
    this.#observer.tellState(this.#definition, state, { before })
  }

  /** Reports the final state of the operation. Other processes see it when the claim is released. */
  finish(state: VmState, cause: { readonly reason?: 'crash'; readonly message?: string } = {}): void {
    const before = this.#state
    this.#state = state
    this.#observer.tellState(this.#definition, state, { before, ...cause })
  }

  /** Replaces the definition in one step. */
  async save(definition: Definition): Promise<void> {
    await this.#directory.save(definition)
    this.#definition = definition
    this.#observer.tellDefinition(definition)
  }

  /** Uses the monitor that is reserved for the holder of the claim. */
  async withMonitor<T>(action: (client: QmpClient) => Promise<T>): Promise<T> {
    const client = await openMonitor(this.folder, runFiles.control)
    try {
      return await action(client)
    } finally {
      await client.close()
    }
  }
}
