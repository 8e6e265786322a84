import type { HostJob } from '../../driver/driver.js'
import type { Run } from './run.js'

/** How many jobs that have ended can still be asked for. */
const maxEnded = 1000

/** The jobs that the host keeps, whoever began them, until long after their end. */
export class JobKeeper {
  readonly #running = new Map<string, Run>()
  readonly #ended = new Map<string, Run>()
  #lastNumber = 0

  /** Keeps it; returns its token. */
  keep(run: Run): string {
    this.#lastNumber += 1
    const token = `simulated-job-${String(this.#lastNumber)}`
    this.#running.set(token, run)
    return token
  }

  ended(run: Run): void {
    const { token } = run
    if (token === undefined || !this.#running.delete(token)) return
    this.#ended.set(token, run)
    if (this.#ended.size <= maxEnded) return
    for (const oldest of this.#ended.keys()) {
      this.#ended.delete(oldest)
      return
    }
  }

  find(token: string): Run | undefined {
    return this.#running.get(token) ?? this.#ended.get(token)
  }

  /** Those under way. */
  list(nameOf: (vmId: string) => string): HostJob[] {
    return [...this.#running].flatMap(([token, { operation, vmId, progress }]) => {
      if (operation === 'connect') return []
      return [{ token, operation, vm: vmId === undefined ? undefined : { id: vmId, name: nameOf(vmId) }, progress }]
    })
  }
}
