import { callSafely } from '../job/call-safely.js'

/** Where the items of a batch come from. */
export interface ItemSource<Item> {
  /** How many there are, where that is known before they are read. */
  readonly size: number | undefined
  /** At once for a list, later for a source that is asynchronous itself; throws or rejects where it can't be read. */
  next(): IteratorResult<Item> | Promise<IteratorResult<Item>>
  /** Says that no more is wanted. What goes wrong over that fails as an uncaught exception. */
  leave(): void
}

/** Nothing where the value can't be iterated over. Throws what the value itself throws. */
export function itemSource<Item>(items: unknown): ItemSource<Item> | undefined {
  if ((typeof items !== 'object' && typeof items !== 'function') || items === null) return undefined
  const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = items as Partial<
    AsyncIterable<Item> & Iterable<Item>
  >
  // A list may grow while it is gone through.
  const sized = {
    get size() {
      return sizeOf(items)
    },
  }
  if (typeof asynchronous === 'function') {
    const iterator = anObject(asynchronous.call(items))
    return Object.assign(sized, { next: async () => checked(await iterator.next()), leave: () => leave(iterator) })
  }
  if (typeof synchronous !== 'function') return undefined
  const iterator = anObject(synchronous.call(items))
  return Object.assign(sized, { next: () => checked(iterator.next()), leave: () => leave(iterator) })
}

const sizeOf = (items: object): number | undefined =>
  Array.isArray(items) ? items.length : items instanceof Set || items instanceof Map ? items.size : undefined

/** A copy: `done` and `value` are read here, where what they throw is told as a failure of the list. */
function checked<Item>(step: IteratorResult<Item, unknown>): IteratorResult<Item> {
  const result = anObject(step)
  return result.done === true ? { done: true, value: undefined } : { done: false, value: result.value }
}

/** A promise from a list that is not asynchronous would be an endless one of nothing. */
function anObject<X extends object>(value: X): X {
  if (typeof value === 'object' && (value as unknown) !== null && !(value instanceof Promise)) return value
  throw new TypeError('its iterator gave no result')
}

function leave(iterator: { return?(): unknown }): void {
  const fail = (error: unknown): void => {
    callSafely(() => {
      throw error
    })
  }
  callSafely(() => void Promise.resolve(iterator.return?.()).catch(fail))
}
