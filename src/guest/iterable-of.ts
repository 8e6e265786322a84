/** How bytes are asked for. */
export interface ByteSource {
  next(): Promise<IteratorResult<Uint8Array, undefined>>
  /** Called if no more is wanted. */
  leave(): unknown
}

/** Bytes that can be left at once, while the next ones are waited for: `return()` of an async generator would wait, too. */
export const iterableOf = (source: ByteSource): AsyncIterable<Uint8Array> => ({
  [Symbol.asyncIterator]: () => ({
    next: () => source.next(),
    return: async () => {
      await source.leave()
      return { done: true, value: undefined }
    },
  }),
})
