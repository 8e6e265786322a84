import { type JobTarget, operations, type OperationCode } from './operations.js'

/** What the host itself said, word for word. */
export interface NativeError {
  /** The driver that talked to the host: `'embedded'`, `'qmp'`, ... */
  readonly driver: string
  /** The host's own code: an errno name, an exit code, a protocol's error class. */
  readonly code?: string | number | undefined
  /** The host's own words. */
  readonly message: string
}

/** What an error is made with. */
export interface VmErrorOptions {
  /** Why it failed, as a clause: `it is suspended`. The operation and the target are put before it. */
  readonly reason: string
  /** What to do about it, as sentences. */
  readonly hint?: string | undefined
  /** What the host itself said. */
  readonly native?: NativeError | undefined
  /** The error that led to this one. */
  readonly cause?: unknown
  /** Whether the same call may succeed later; if absent, as is usual for the class. */
  readonly retryable?: boolean | undefined
}

/**
 * The base of every error that awaitvm reports. `code` is a literal in each subclass, so that a `switch` over it narrows.
 *
 * @example
 * ```ts
 * import { connect, type VmError } from 'awaitvm'
 *
 * const describe = (error: VmError): string => `${error.code}: ${error.message}`
 * const server = await connect('embedded:').unwrap()
 * const found = await server.getVm('web-1')
 * if (found.isErr()) console.error(describe(found.error))
 * await server.close()
 * ```
 */
export abstract class VmError extends Error {
  /** Which error it is: a literal of its class, to switch over. */
  abstract readonly code: string
  /** Why it failed, without the operation and the target. */
  readonly reason: string
  /** What to do about it, as sentences; also at the end of the `message`. */
  readonly hint: string | undefined
  /** What the host itself said; absent if no host said anything. */
  readonly native: NativeError | undefined
  /** Whether the same call may succeed later without anything being changed. */
  readonly retryable: boolean
  #operation: OperationCode | undefined
  #target: JobTarget | undefined
  /** The stack that it was made with, once that of a caller follows it. */
  #ownStack: string | undefined

  constructor(options: VmErrorOptions, retryable = false) {
    super(sentences(options.reason, options.hint), options.cause === undefined ? undefined : { cause: options.cause })
    this.reason = options.reason
    this.hint = options.hint
    this.native = options.native
    this.retryable = options.retryable ?? retryable
  }

  /** The operation that failed: `'vm.start'`. */
  get operation(): OperationCode | undefined {
    return this.#operation
  }

  /** The VM or host that it failed on. */
  get target(): JobTarget | undefined {
    return this.#target
  }

  /**
   * Says which operation on which target failed, once: drivers report reasons, and the job names the operation.
   * @internal
   */
  static locate(error: VmError, operation: OperationCode, target: JobTarget | undefined): void {
    if (error.#operation !== undefined) return
    error.#operation = operation
    error.#target = target
    const { message: bare, stack } = error
    const { phrase } = operations[operation]
    const what =
      target === undefined
        ? phrase.replace(/ (on|of|to)$/, '')
        : `${phrase} ${target.type === 'vm' ? 'VM' : 'host'} ${JSON.stringify(target.name)}`
    error.message = `Cannot ${what}: ${bare}`
    // The stack begins with the message that the error was made with.
    if (typeof stack === 'string') error.stack = stack.replace(bare, () => error.message)
  }

  /**
   * Puts the caller's lines after those where the error was made, instead of those of an earlier caller.
   * @param caller made by the function that throws the error, for the stack that it has
   * @internal
   */
  static withCaller(error: VmError, caller: Error): VmError {
    error.#ownStack ??= error.stack
    // Without the line that made it.
    const lines = caller.stack?.split('\n').slice(2) ?? []
    error.stack = [error.#ownStack, ...lines.filter((line) => !line.includes('(node:internal/'))].join('\n')
    return error
  }

  /**
   * The same error before it was said which operation failed.
   * @internal
   */
  static copy(error: VmError): VmError {
    return Reflect.construct(error.constructor, [Object.assign({ cause: error.cause }, error)]) as VmError
  }

  /**
   * The same error before it was said which operation failed, with a further hint.
   * @internal
   */
  static withHint(error: VmError, hint: string): VmError {
    const hints = error.hint === undefined ? hint : `${hint} ${error.hint}`
    return Reflect.construct(error.constructor, [
      Object.assign({ cause: error.cause }, error, { hint: hints }),
    ]) as VmError
  }

  /** All that the error tells, for `JSON.stringify`; of its `cause`, name and message. */
  toJSON(): Record<string, unknown> {
    const { cause } = this
    const own: Record<string, unknown> = { ...(this as object) }
    return {
      // The subclass's own fields: path, state, expected, capability, ...
      ...own,
      name: this.name,
      code: this.code,
      message: this.message,
      operation: this.operation,
      target: this.target,
      ...(cause instanceof Error && { cause: { name: cause.name, message: cause.message } }),
    }
  }
}

function sentences(reason: string, hint: string | undefined): string {
  // A host's own words may end a sentence already.
  const sentence = /[.!?]$/.test(reason) ? reason : `${reason}.`
  return hint === undefined ? sentence : `${sentence} ${hint}`
}
