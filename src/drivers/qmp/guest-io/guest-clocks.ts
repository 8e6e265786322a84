import { pause } from '../../../driver/backoff.js'
import { Exclusive } from '../../../exclusive.js'

/** How long a clock waits for clones that are being made, and a call into a guest for its clock. */
const patienceMs = 10_000

/**
 * When the clocks of guests that stood still are set. For that, the agent runs a program: in an emulated guest, this takes as long as
 * loading its memory. So the guests of a batch of clones get their clocks once all are made, one after another, and those whose agent
 * is asked for something before that get theirs first.
 */
export class GuestClocks {
  readonly #turns = new Exclusive()
  /** What sets each of the clocks that wait, by VM. */
  readonly #waiting = new Map<string, () => Promise<void>>()
  /** Aborted when no clone is being made any more. Each clock has its own, since one signal for many listeners is slow. */
  readonly #pauses = new Set<AbortController>()
  #clones = 0

  /** Makes a clone, which clocks wait for. */
  async whileCloning<T>(action: () => Promise<T>): Promise<T> {
    this.#clones += 1
    try {
      return await action()
    } finally {
      this.#clones -= 1
      if (this.#clones === 0) for (const quiet of this.#pauses) quiet.abort()
    }
  }

  /** Sets a clock by the action, in its time. */
  async set(vm: string, action: () => Promise<void>): Promise<void> {
    if (this.#clones === 0) return action()
    let setting: Promise<void> | undefined
    const set = (): Promise<void> => (setting ??= action())
    this.#waiting.set(vm, set)
    const quiet = new AbortController()
    this.#pauses.add(quiet)
    try {
      await pause(patienceMs, quiet.signal)
      this.#pauses.delete(quiet)
      await this.#turns.run('', set)
    } finally {
      if (this.#waiting.get(vm) === set) this.#waiting.delete(vm)
    }
  }

  /** Sets the clock of a guest now, if it waits. Never rejects. */
  async hurry(vm: string, signal: AbortSignal): Promise<void> {
    const set = this.#waiting.get(vm)
    if (set === undefined) return
    const end = new AbortController()
    const ended = (): void => {
      end.abort()
    }
    set().then(ended, ended)
    await pause(patienceMs, end.signal, signal)
  }
}
