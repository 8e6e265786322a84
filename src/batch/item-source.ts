import { callSafely } from '../job/call-safely.js'

/** The source of the items of a batch. */
export interface ItemSource<Item> {
  /** The number of items, if it is known before they are read. */
  readonly size: number | undefined
  /** A step for a list, a promise for an asynchronous source; throws or rejects if reading fails. */
  next(): IteratorResult<Item> | Promise<IteratorResult<Item>>
  /** Closes the source. An error of that becomes an uncaught exception. */
  leave(): void
}

/** Undefined if the value is not iterable. Throws what the value itself throws. */
export function itemSource<Item>(items: unknown): ItemSource<Item> | undefined {
  if ((typeof items !== 'object' && typeof items !== 'function') || items === null) return undefined
  const { [Symbol.asyncIterator]: asynchronous, [Symbol.iterator]: synchronous } = items as Partial<
    AsyncIterable<Item> & Iterable<Item>
  >
  // A getter: a list may grow while it is read.
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

/** Reads `done` and `value` here, so that an error of theirs counts as a failure of the list. */
function checked<Item>(step: IteratorResult<Item, unknown>): IteratorResult<Item> {
  const result = anObject(step)
  return result.done === true ? { done: true, value: undefined } : { done: false, value: result.value }
}

/** Refuses promises: a promise has no `done`, so the list would never end. */
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
