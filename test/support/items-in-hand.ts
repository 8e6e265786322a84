import { JobCancelledError, type JobRef, type VmError } from 'awaitvm'
import { createJob, type JobInHand } from 'awaitvm/testing'

/** The jobs of a batch, one for each item. The test moves and ends them. */
export class ItemsInHand<Item, T = void> {
  readonly started: Item[] = []
  readonly #hands = new Map<Item, JobInHand<T, VmError>>()
  readonly #isStoppable: (item: Item) => boolean

  /** @param isStoppable whether the host can stop the item's operation; all if absent */
  constructor(isStoppable: (item: Item) => boolean = () => true) {
    this.#isStoppable = isStoppable
  }

  /** What the batch calls. */
  readonly begin = (item: Item): JobRef<T> => {
    const hand = createJob<T>()
    if (this.#isStoppable(item)) {
      hand.task.cancelWith(() => {
        hand.fail(new JobCancelledError({ reason: 'the host has stopped it' }))
      })
    }
    this.started.push(item)
    this.#hands.set(item, hand)
    return hand.job
  }

  /** The last job of an item. */
  of(item: Item): JobInHand<T, VmError> {
    const hand = this.#hands.get(item)
    if (hand === undefined) throw new Error(`${String(item)} has not begun`)
    return hand
  }

  get running(): Item[] {
    return [...this.#hands].filter(([, { job }]) => job.status === 'running').map(([item]) => item)
  }
}
