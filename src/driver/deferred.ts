/** A promise that is settled from outside. A rejection that nobody awaits is no error. */
export class Deferred<T> {
  readonly promise: Promise<T>
  readonly resolve: (value: T) => void
  readonly reject: (reason: unknown) => void
  #value: T | undefined

  constructor() {
    let settle: Pick<Deferred<T>, 'resolve' | 'reject'> | undefined
    this.promise = new Promise((resolve, reject) => {
      settle = {
        resolve: (value) => {
          this.#value ??= value
          resolve(value)
        },
        reject,
      }
    })
    this.promise.catch(() => undefined)
    if (settle === undefined) throw new Error('a promise that does not begin')
    this.resolve = settle.resolve
    this.reject = settle.reject
  }

  /** The value, once there is one. */
  get value(): T | undefined {
    return this.#value
  }
}
