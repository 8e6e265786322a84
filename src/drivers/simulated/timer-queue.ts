/** What is to be done at a time. */
export interface Timer {
  readonly dueMs: number
  readonly run: () => void
}

interface Entry extends Timer {
  readonly number: number
  isCancelled: boolean
}

/** A queue of timers, as a binary heap. Timers of the same time are in the order in which they were added. */
export class TimerQueue {
  readonly #heap: Entry[] = []
  #lastNumber = 0
  #cancelled = 0

  /** Adds a timer; returns a function that cancels it. */
  add({ dueMs, run }: Timer): () => void {
    const entry: Entry = { dueMs, run, number: ++this.#lastNumber, isCancelled: false }
    this.#heap.push(entry)
    this.#rise(this.#heap.length - 1)
    return () => {
      if (entry.isCancelled) return
      entry.isCancelled = true
      this.#cancelled += 1
      // Cancelled timers stay until their time, but must not outnumber the others.
      if (this.#cancelled > 64 && this.#cancelled > this.#heap.length / 2) this.#compact()
    }
  }

  /** The next timer, which stays in the queue. */
  peek(): Timer | undefined {
    return this.#first()
  }

  /** Takes the next timer out of the queue. */
  take(): Timer | undefined {
    const first = this.#first()
    if (first === undefined) return undefined
    this.#removeFirst()
    // A cancellation from now on has no effect.
    first.isCancelled = true
    return first
  }

  #first(): Entry | undefined {
    for (;;) {
      const first = this.#heap[0]
      if (first?.isCancelled !== true) return first
      this.#cancelled -= 1
      this.#removeFirst()
    }
  }

  #compact(): void {
    const left = this.#heap.filter(({ isCancelled }) => !isCancelled).sort((a, b) => (isBefore(a, b) ? -1 : 1))
    this.#heap.length = 0
    // A sorted array is a heap.
    for (const entry of left) this.#heap.push(entry)
    this.#cancelled = 0
  }

  #removeFirst(): void {
    const last = this.#heap.pop()
    if (last === undefined || this.#heap.length === 0) return
    this.#heap[0] = last
    this.#sink()
  }

  #rise(from: number): void {
    let index = from
    while (index > 0) {
      const parent = (index - 1) >> 1
      if (!this.#swapIfBefore(index, parent)) return
      index = parent
    }
  }

  #sink(): void {
    let index = 0
    for (;;) {
      const left = 2 * index + 1
      const right = left + 1
      const [atLeft, atRight] = [this.#heap[left], this.#heap[right]]
      if (atLeft === undefined) return
      const child = atRight !== undefined && isBefore(atRight, atLeft) ? right : left
      if (!this.#swapIfBefore(child, index)) return
      index = child
    }
  }

  /** Swaps a child with its parent if the child comes first. */
  #swapIfBefore(child: number, parent: number): boolean {
    const [lower, upper] = [this.#heap[child], this.#heap[parent]]
    if (lower === undefined || upper === undefined || !isBefore(lower, upper)) return false
    this.#heap[parent] = lower
    this.#heap[child] = upper
    return true
  }
}

const isBefore = (a: Entry, b: Entry): boolean => a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.number < b.number)
