/** Yields outcomes to one reader, as they come. Unread outcomes of a reader that leaves are handed back. */
export class OutcomeReader<Outcome> implements AsyncIterableIterator<Outcome, undefined> {
  readonly #onRead: () => void
  readonly #onLeave: (unread: readonly Outcome[]) => void
  #unread: Outcome[]
  /** The index of the first unread outcome: shifting the array for each read would move all others. */
  #head = 0
  #waiting: ((step: IteratorResult<Outcome, undefined>) => void)[] = []
  #isEnded = false
  /** True after it has read the last one or has left: then another may read. */
  #isGone = false

  constructor(first: Outcome[], onRead: () => void, onLeave: (unread: readonly Outcome[]) => void) {
    this.#unread = first
    this.#onRead = onRead
    this.#onLeave = onLeave
  }

  /** The reader of a batch that never began. */
  static empty<Outcome>(): OutcomeReader<Outcome> {
    const reader = new OutcomeReader<Outcome>([], nothing, nothing)
    reader.end()
    return reader
  }

  get backlog(): number {
    return this.#unread.length - this.#head
  }

  push(outcome: Outcome): void {
    const reader = this.#waiting.shift()
    if (reader === undefined) this.#unread.push(outcome)
    else reader({ done: false, value: outcome })
  }

  /** Ends the reader after the outcomes that are left. */
  end(): void {
    this.#isEnded = true
    for (const reader of this.#waiting) reader(over)
    this.#waiting = []
  }

  next(): Promise<IteratorResult<Outcome, undefined>> {
    if (this.backlog > 0) return Promise.resolve({ done: false, value: this.#take() })
    if (this.#isEnded) return this.return()
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  return(): Promise<IteratorResult<Outcome, undefined>> {
    if (this.#isGone) return Promise.resolve(over)
    this.#isGone = true
    const left = this.#unread.slice(this.#head)
    this.#unread = []
    this.#head = 0
    this.end()
    this.#onLeave(left)
    return Promise.resolve(over)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return()
  }

  #take(): Outcome {
    const outcome = this.#unread[this.#head] as Outcome
    this.#head += 1
    if (this.#head === this.#unread.length || this.#head > Math.max(100, this.#unread.length / 2)) {
      this.#unread = this.#unread.slice(this.#head)
      this.#head = 0
    }
    this.#onRead()
    return outcome
  }
}

const nothing = (): void => undefined
const over: IteratorResult<never, undefined> = { done: true, value: undefined }
