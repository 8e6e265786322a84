import type { ItemSource } from './item-source.js'

interface Customs<Item> {
  /** True if one more item may be taken. */
  readonly hasRoom: () => boolean
  readonly accept: (item: Item, index: number) => void
  /** Called if reading the list fails. */
  readonly fail: (error: unknown) => void
  /** Called when an asynchronous list has delivered an item or its end. */
  readonly arrived: () => void
}

/** Takes items from the list, one by one, while there is room. */
export class BatchIntake<Item> {
  readonly #source: ItemSource<Item>
  readonly #customs: Customs<Item>
  #taken = 0
  #isExhausted = false
  /** True while an asynchronous list has not answered yet. */
  #isAwaiting = false
  /** True inside a call of the list. A running generator can't be closed: `leave` then waits for the end of the call. */
  #isReading = false
  #isLeft = false

  constructor(source: ItemSource<Item>, customs: Customs<Item>) {
    this.#source = source
    this.#customs = customs
  }

  get isExhausted(): boolean {
    return this.#isExhausted
  }

  /** The number of all items, once it is known. */
  get total(): number | undefined {
    if (this.#isExhausted) return this.#taken
    const { size } = this.#source
    return size === undefined ? undefined : Math.max(size, this.#taken)
  }

  fill(): void {
    while (!this.#isAwaiting && !this.#isExhausted && this.#customs.hasRoom()) {
      const step = this.#next()
      if (step instanceof Promise) this.#await(step)
      else if (step !== undefined) this.#take(step)
      if (this.#isLeft) this.leave()
    }
  }

  /** Takes the rest of a list with a known length, so that the report has it; closes any other list. */
  leave(): void {
    this.#isLeft = this.#isReading
    if (this.#isExhausted || this.#isReading) return
    while (this.#taken < (this.#source.size ?? 0)) {
      const step = this.#next()
      if (step === undefined || step instanceof Promise || step.done === true) break
      this.#take(step)
    }
    this.#isExhausted ||= this.#taken === this.#source.size
    this.#source.leave()
  }

  /** Undefined if reading the list failed. */
  #next(): IteratorResult<Item> | Promise<IteratorResult<Item>> | undefined {
    this.#isReading = true
    try {
      return this.#source.next()
    } catch (error) {
      this.#fail(error)
      return undefined
    } finally {
      this.#isReading = false
    }
  }

  #await(step: Promise<IteratorResult<Item>>): void {
    this.#isAwaiting = true
    const goOn = (): void => {
      this.#isAwaiting = false
      this.#customs.arrived()
    }
    step.then(
      (arrived) => {
        this.#take(arrived)
        goOn()
      },
      (error: unknown) => {
        this.#fail(error)
        goOn()
      },
    )
  }

  #take(step: IteratorResult<Item>): void {
    if (step.done === true) this.#isExhausted = true
    else this.#customs.accept(step.value, this.#taken++)
  }

  #fail(error: unknown): void {
    this.#isExhausted = true
    this.#customs.fail(error)
  }
}
