import type { HostJob, ProgressUpdate } from '../../model/host-job.js'
import type { HostJobSource } from '../../driver/followed-job.js'
import type { RunningProgram } from './running-program.js'
import type { SimulatedOperation } from './simulated-operation.js'

/** The number of ended jobs that can still be attached to. */
const maxEnded = 1000

/** A job as its host keeps it. */
export interface KeptRun extends HostJobSource<unknown> {
  readonly operation: SimulatedOperation
  readonly vmId: string | undefined
  /** Finds the job again; `undefined` until the host keeps it. */
  readonly token: string | undefined
  /** The last progress that was reported. */
  readonly progress: ProgressUpdate
  /** The program of a guest, if it is one's job. */
  readonly program: RunningProgram | undefined
  /** True if the request was taken. */
  cancel(reason: string | undefined): boolean
}

/** The jobs of all connections of a host. They are kept for some time after their end. */
export class JobKeeper {
  readonly #running = new Map<string, KeptRun>()
  readonly #ended = new Map<string, KeptRun>()
  #lastNumber = 0

  /** Keeps a job, and returns its token. */
  keep(run: KeptRun): string {
    this.#lastNumber += 1
    const token = `simulated-job-${String(this.#lastNumber)}`
    this.#running.set(token, run)
    return token
  }

  ended(run: KeptRun): void {
    const { token } = run
    if (token === undefined || !this.#running.delete(token)) return
    this.#ended.set(token, run)
    if (this.#ended.size <= maxEnded) return
    for (const oldest of this.#ended.keys()) {
      this.#ended.delete(oldest)
      return
    }
  }

  find(token: string): KeptRun | undefined {
    return this.#running.get(token) ?? this.#ended.get(token)
  }

  /** The jobs under way. */
  list(nameOf: (vmId: string) => string): HostJob[] {
    return [...this.#running].flatMap(([token, { operation, vmId, progress }]) => {
      if (operation === 'connect') return []
      return [{ token, operation, vm: vmId === undefined ? undefined : { id: vmId, name: nameOf(vmId) }, progress }]
    })
  }
}
