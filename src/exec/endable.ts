/**
 * The same pieces, for a reader who may leave while it waits for one, as a driver does when the program ends: an async generator
 * would keep it waiting.
 *
 * @param onLeave called once, when the reader leaves before the end
 */
export function endable<T>(source: AsyncIterable<T>, onLeave: () => void): AsyncIterable<T> {
  const iterator = source[Symbol.asyncIterator]()
  const done = { done: true, value: undefined } as const
  let isOver = false
  let endWait: (() => void) | undefined
  const next = (): Promise<IteratorResult<T, undefined>> => {
    if (isOver) return Promise.resolve(done)
    return new Promise((resolve, reject) => {
      endWait = () => {
        resolve(done)
      }
      iterator.next().then(
        (result) => {
          if (result.done !== true) resolve(result)
          else {
            isOver = true
            resolve(done)
          }
        },
        (error: unknown) => {
          isOver = true
          reject(error instanceof Error ? error : new Error(String(error)))
        },
      )
    })
  }
  const leave = (): Promise<IteratorResult<T, undefined>> => {
    if (!isOver) {
      isOver = true
      endWait?.()
      onLeave()
    }
    return Promise.resolve(done)
  }
  return { [Symbol.asyncIterator]: () => ({ next, return: leave }) }
}
