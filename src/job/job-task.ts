import type { HostTask } from '../driver/host-task.js'
import type { CancelHandler } from '../driver/task.js'
import type { ProgressUpdate } from '../model/host-job.js'
import type { VmError } from '../errors.js'
import type { JobTarget, OperationCode } from '../operations.js'
import { inCallerContext } from './caller-context.js'
import type { JobCore } from './job-core.js'

/** The side of a job that its driver sees. */
export class JobTask implements HostTask {
  readonly #core: JobCore<unknown, VmError>

  constructor(core: JobCore<unknown, VmError>) {
    this.#core = core
  }

  get operation(): OperationCode {
    return this.#core.operation
  }

  get target(): JobTarget | undefined {
    return this.#core.target
  }

  get signal(): AbortSignal {
    return this.#core.cancellation.signal
  }

  progress(update: ProgressUpdate): void {
    this.#core.report(update)
  }

  cancelWith(handler: CancelHandler): () => void {
    return this.#core.cancellation.add(inCallerContext(handler))
  }

  holdBack(): () => void {
    return this.#core.holdBack()
  }

  askFirst<T>(ask: () => Promise<T>): Promise<T> {
    return this.#core.askFirst(ask)
  }

  onGivenUp(listener: () => void): () => void {
    return this.#core.listen({ onSettled: listener })
  }

  setReachable(isReachable: boolean): void {
    this.#core.setReachable(isReachable)
  }

  setToken(token: string): void {
    this.#core.token = token
  }

  get reported(): ProgressUpdate {
    return this.#core.progress
  }

  get isCancelable(): boolean {
    return this.#core.isCancelable
  }

  get isAskedToStop(): boolean {
    return this.#core.isAskedToStop
  }

  noteCancel(reason: string): void {
    this.#core.cancellation.note({ by: 'caller', reason })
  }

  async requestCancel(reason: string): Promise<boolean> {
    const { kind } = await this.#core.cancel({ by: 'caller', reason })
    return kind !== 'refused'
  }
}
