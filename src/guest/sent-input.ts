import { iterableOf } from './iterable-of.js'

/** Input of a script that ends where its source fails. */
export class SentInput {
  readonly #source: AsyncIterable<Uint8Array>
  #failure: { readonly error: unknown } | undefined
  #isAskedFor = false

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source
  }

  /** False if the script can't have got any of it. */
  get isAskedFor(): boolean {
    return this.#isAskedFor
  }

  bytes(): AsyncIterable<Uint8Array> {
    const source = this.#source[Symbol.asyncIterator]()
    return iterableOf({
      next: async () => {
        this.#isAskedFor = true
        try {
          return await source.next()
        } catch (error) {
          this.#failure = { error }
          return { done: true, value: undefined }
        }
      },
      leave: () => source.return?.(),
    })
  }

  /** What the source has thrown. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure
  }
}
