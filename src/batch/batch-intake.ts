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
  #isTaking = false

  constructor(source: ItemSource<Item>, customs: Customs<Item>) {
    this.#source = source
    this.#customs = customs
  }

  get isExhausted(): boolean {
    return this.#isExhausted
  }

  /** How many items there are in all, once that is known. */
  get total(): number | undefined {
    return this.#isExhausted ? this.#taken : this.#source.size
  }

  fill(): void {
    // An item may begin while it is accepted, and ask for the next one.
    if (this.#isTaking) return
    this.#isTaking = true
    while (!this.#isExhausted && this.#customs.hasRoom()) {
      const step = this.#next()
      if (step instanceof Promise) {
        this.#await(step)
        return
      }
      if (step !== undefined) this.#take(step)
    }
    this.#isTaking = false
  }

  /** Takes what is left of a list that has a length; what else there would have been is not asked for. */
  leave(): void {
    if (this.#isExhausted) return
    const { size = 0 } = this.#source
    while (this.#taken < size) {
      const step = this.#next()
      if (step === undefined || step instanceof Promise || step.done === true) break
      this.#take(step)
    }
    this.#isExhausted ||= this.#taken === this.#source.size
    this.#source.leave()
  }

  /** Nothing where the list could not be read. */
  #next(): IteratorResult<Item> | Promise<IteratorResult<Item>> | undefined {
    try {
      return this.#source.next()
    } catch (error) {
      this.#fail(error)
      return undefined
    }
  }

  #await(step: Promise<IteratorResult<Item>>): void {
    const goOn = (): void => {
      this.#isTaking = false
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
