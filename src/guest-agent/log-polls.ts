import { Deferred } from '../driver/deferred.js'

/** How long between two readings: at first, and at most after nothing has happened for long. The part of that time is 1 / 50. */
const minPauseMs = 5
export const longestPauseMs = 100
const pausePart = 0.02
/** The same while nothing is expected. */
const quietPauseMs = 1000

/** The pause grows by this much for each further program: many programs take longer, and one reading tells of all. */
const pauseOfEachMs = 1

/** How long a program takes that ends at once: what is thought at first, and the bounds of what is learned. */
const firstPromptMs = 8
const minPromptMs = 2
const maxPromptMs = 30
/** What is learned from an end that the first reading has told, and from one that only the second one has. */
const shorter = 0.95
const longer = 1.1

/** How long to wait before something is asked for again that has not come since a time. */
export const pauseAfter = (activeAt: number): number =>
  Math.min(longestPauseMs, Math.max(minPauseMs, (performance.now() - activeAt) * pausePart))

/**
 * When the log of a shell is read. Each reading costs a guest time that its programs lack, and most programs end soon: so the first
 * reading after a program was begun comes when one that ends at once has usually ended, which depends on the guest, and is learned.
 */
export class LogPolls {
  /** The programs under way, and whether nothing is expected of each at present. */
  readonly #programs = new Map<number, { isQuiet: boolean }>()
  #activeAt = performance.now()
  #promptMs = firstPromptMs
  /** The last program that was begun while no other one ran: when, and how often the log was read since. */
  #begun: { readonly at: number; reads: number } | undefined
  #change = new Deferred<undefined>()

  /** When something has happened last. */
  get activeAt(): number {
    return this.#activeAt
  }

  /** Notes that something happens, so that the log is read often for some time. */
  touch(): void {
    this.#activeAt = performance.now()
    this.#change.resolve(undefined)
  }

  /** Notes that a program is begun. */
  begin(program: number): void {
    if (this.#programs.size === 0) this.#begun = { at: performance.now(), reads: 0 }
    this.#programs.set(program, { isQuiet: false })
    this.touch()
  }

  /** Notes whether the log will tell nothing of a program until that is taken back. */
  setQuiet(program: number, isQuiet: boolean): void {
    const known = this.#programs.get(program)
    if (known === undefined || known.isQuiet === isQuiet) return
    known.isQuiet = isQuiet
    this.touch()
  }

  /** Forgets a program. */
  remove(program: number): void {
    this.#programs.delete(program)
  }

  /** Notes that the log was read, and whether it told the end of a program. */
  noteRead(toldEnd: boolean): void {
    if (this.#begun === undefined) return
    this.#begun.reads += 1
    if (toldEnd) this.#learn(this.#begun.reads)
    if (toldEnd || this.#begun.reads > 1) this.#begun = undefined
  }

  /** Waits until the next reading. */
  async next(): Promise<void> {
    const since = performance.now()
    for (;;) {
      const ms = this.#nextAt(since) - performance.now()
      if (ms <= 0) return
      this.#change = new Deferred()
      const late = setTimeout(this.#change.resolve, ms, undefined)
      await this.#change.promise
      clearTimeout(late)
    }
  }

  #nextAt(since: number): number {
    if (this.#begun?.reads === 0) return this.#begun.at + this.#promptMs
    const programs = [...this.#programs.values()].filter(({ isQuiet }) => !isQuiet).length
    if (programs === 0) return since + quietPauseMs
    if (this.#begun?.reads === 1 && programs === 1) return since + this.#promptMs / 4
    const pauseMs = Math.max(pauseAfter(this.#activeAt), minPauseMs + (programs - 1) * pauseOfEachMs)
    return since + Math.min(longestPauseMs, pauseMs)
  }

  #learn(reads: number): void {
    const factor = reads === 1 ? shorter : longer
    this.#promptMs = Math.min(maxPromptMs, Math.max(minPromptMs, this.#promptMs * factor))
  }
}
