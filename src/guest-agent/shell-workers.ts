import { quoteWords } from '../ssh/quote.js'

/** How many there are at most. Further programs that run at once have a process each. */
const maxWorkers = 16
/** The longest line that a worker gets: it reads byte by byte. */
const maxLineLength = 1000

const numbers = Array.from({ length: maxWorkers }, (_, index) => index + 1)

/** The pipes that workers get their lines from. */
export const workerPipes = numbers.map((number) => `w.${String(number)}`)

interface Worker {
  readonly number: number
  /** The process that it is, once a program of it has begun. */
  pid: number | undefined
  /** Whether it is through with its program. */
  isThrough: boolean
}

/**
 * Processes of the shell in a guest, each of which runs one program after another and tells of its end. Without them, the shell would
 * fork once more for each program, which takes an emulated guest more than a millisecond.
 */
export class ShellWorkers {
  readonly #absent = numbers.toReversed()
  readonly #idle: Worker[] = []
  /** The worker of each program under way. */
  readonly #busy = new Map<number, Worker>()

  /** The line for the shell that starts a program by a command. */
  start(program: number, command: string): string {
    if (command.length > maxLineLength || command.includes('\n')) return `${command} &`
    const idle = this.#idle.pop()
    if (idle !== undefined) {
      this.#busy.set(program, { ...idle, isThrough: false })
      return `give ${String(idle.number)} ${quoteWords([command])}`
    }
    const number = this.#absent.pop()
    if (number === undefined) return `${command} &`
    this.#busy.set(program, { number, pid: undefined, isThrough: false })
    return `work ${String(number)} ${command} &`
  }

  /** The process that is to tell the end of a program: known of a worker that has run another one before. */
  waiterFor(program: number): number | undefined {
    const worker = this.#busy.get(program)
    return worker?.isThrough === false ? worker.pid : undefined
  }

  /** Notes which process waits for a program that has begun. */
  noteBegun(program: number, pid: number): void {
    const worker = this.#busy.get(program)
    if (worker !== undefined) worker.pid = pid
  }

  /** Notes that the shell has told the end of a program, or that it was not started. */
  noteEnd(program: number): void {
    const worker = this.#busy.get(program)
    if (worker !== undefined) worker.isThrough = true
  }

  /** Forgets a program. A worker that is not known to be through with it gets no other one. */
  remove(program: number, isKilled: boolean): void {
    const worker = this.#busy.get(program)
    this.#busy.delete(program)
    if (worker?.isThrough !== true) return
    if (isKilled) this.#absent.push(worker.number)
    else this.#idle.push(worker)
  }
}
