/** The beginning of an input that there is without waiting. */
export interface InputAtHand {
  readonly bytes: Buffer
  /** What follows; absent if that is all. */
  readonly rest?: AsyncIterable<Uint8Array> | undefined
  /** Ends the input, of which nothing more is wanted. */
  end(): void
}

/** Takes what an input has at hand, up to a number of bytes. */
export async function inputAtHand(input: AsyncIterable<Uint8Array>, maxBytes: number): Promise<InputAtHand> {
  const source = input[Symbol.asyncIterator]()
  const pieces: Uint8Array[] = []
  const end = (): void => {
    // An input that waits for its next piece ends after that.
    void source.return?.()
  }
  for (let length = 0; length <= maxBytes;) {
    const next = source.next()
    const result = await Promise.race([
      next,
      new Promise<undefined>((resolve) =>
        setImmediate(() => {
          resolve(undefined)
        }),
      ),
    ])
    if (result === undefined) return { bytes: Buffer.concat(pieces), rest: following(source, next), end }
    if (result.done === true) return { bytes: Buffer.concat(pieces), end }
    pieces.push(result.value)
    length += result.value.byteLength
  }
  return { bytes: Buffer.concat(pieces), rest: following(source, source.next()), end }
}

async function* following(
  source: AsyncIterator<Uint8Array>,
  first: Promise<IteratorResult<Uint8Array>>,
): AsyncGenerator<Uint8Array> {
  for (let result = await first; result.done !== true; result = await source.next()) yield result.value
}
