import { quoteWords } from '../ssh/quote.js'

/** So many programs run at once without a process being forked for each of them. */
const maxWorkers = 16
/** A worker reads its lines byte by byte. */
const maxLineLength = 1000

const workers = Array.from({ length: maxWorkers }, (_, index) => index + 1)

/** The pipes that workers get their lines from. */
export const workerPipes = workers.map((worker) => `w.${String(worker)}`)

/**
 * Processes of the shell in a guest that run one program after another and tell of its end: a fork saved for each of them costs an emulated
 * guest more than a millisecond.
 */
export class ShellWorkers {
  readonly #absent = workers.toReversed()
  readonly #idle: number[] = []
  /** The worker of each program under way. */
  readonly #busy = new Map<number, number>()
  /** The process that each worker is. */
  readonly #pids = new Map<number, number>()
  /** The programs whose worker is through with them. */
  readonly #ended = new Set<number>()

  /** The line for the shell that starts a program by a command. */
  start(program: number, command: string): string {
    if (command.length > maxLineLength || command.includes('\n')) return `${command} &`
    const idle = this.#idle.pop()
    const worker = idle ?? this.#absent.pop()
    if (worker === undefined) return `${command} &`
    this.#busy.set(program, worker)
    return idle === undefined
      ? `work ${String(worker)} ${command} &`
      : `give ${String(worker)} ${quoteWords([command])}`
  }

  /** The process that is to tell the end of a program: known of a worker that has run another one before. */
  waiterFor(program: number): number | undefined {
    return this.#ended.has(program) ? undefined : this.#pids.get(this.#busy.get(program) ?? 0)
  }

  /** Notes which process waits for a program that has begun. */
  noteBegun(program: number, pid: number): void {
    const worker = this.#busy.get(program)
    if (worker !== undefined) this.#pids.set(worker, pid)
  }

  /** Notes that the shell has told the end of a program, or that it was not started. */
  noteEnd(program: number): void {
    if (this.#busy.has(program)) this.#ended.add(program)
  }

  /** Forgets a program. A worker that is not known to be through with it gets no other one. */
  remove(program: number, isKilled: boolean): void {
    const worker = this.#busy.get(program)
    this.#busy.delete(program)
    if (worker === undefined || !this.#ended.delete(program)) return
    if (isKilled) {
      this.#absent.push(worker)
      this.#pids.delete(worker)
    } else this.#idle.push(worker)
  }
}
