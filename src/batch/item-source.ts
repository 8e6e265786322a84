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
  const size = sizeOf(items)
  if (typeof asynchronous === 'function') {
    const iterator = asynchronous.call(items)
    return { size, next: async () => checked(await iterator.next()), leave: () => leave(iterator) }
  }
  if (typeof synchronous !== 'function') return undefined
  const iterator = synchronous.call(items)
  return { size, next: () => checked(iterator.next()), leave: () => leave(iterator) }
}

const sizeOf = (items: object): number | undefined =>
  Array.isArray(items) ? items.length : items instanceof Set || items instanceof Map ? items.size : undefined

function checked<Item>(step: IteratorResult<Item>): IteratorResult<Item> {
  if (typeof step === 'object') return step
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
