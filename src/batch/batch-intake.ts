import type { ItemSource } from './item-source.js'

interface Customs<Item> {
  /** Whether one more item may be taken. */
  readonly hasRoom: () => boolean
  readonly accept: (item: Item, index: number) => void
  /** The list can't be read any further. */
  readonly fail: (error: unknown) => void
  /** An item, or the end, has come by itself: the list is an asynchronous one. */
  readonly arrived: () => void
}

/** Takes items from the list, one after another, as there is room for them. */
export class BatchIntake<Item> {
  readonly #source: ItemSource<Item>
  readonly #customs: Customs<Item>
  #taken = 0
  #isExhausted = false
  /** An answer of an asynchronous list is under way. */
  #isAwaiting = false
  /** The list is being asked, and was left by what it does itself: a generator that runs can't be closed. */
  #isReading = false
  #isLeft = false

  constructor(source: ItemSource<Item>, customs: Customs<Item>) {
    this.#source = source
    this.#customs = customs
  }

  get isExhausted(): boolean {
    return this.#isExhausted
  }

  /** How many items there are in all, once that is known. */
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

  /** Takes what is left of a list that has a length; what else there would have been is not asked for. */
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

  /** Nothing where the list could not be read. */
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
