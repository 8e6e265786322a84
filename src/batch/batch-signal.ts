import { JobCancelledError, VmError } from '../errors.js'
import type { CancelRequest } from '../job/cancellation.js'
import type { AttemptSource } from './batch-operation.js'

/** The signal that the functions of a batch are given; made when one looks at it, since most never do. */
export class BatchSignal implements AttemptSource {
  #controller: AbortController | undefined
  /** The first one. */
  #request: CancelRequest | undefined

  abort(request: CancelRequest): void {
    this.#request ??= request
    this.#controller?.abort(reasonOf(this.#request))
  }

  readonly signal = (): AbortSignal => {
    this.#controller ??= new AbortController()
    if (this.#request !== undefined) this.#controller.abort(reasonOf(this.#request))
    return this.#controller.signal
  }

  readonly cancelledBy = (error: unknown): JobCancelledError | undefined => {
    if (this.#request === undefined || !isAbort(error, this.#controller?.signal)) return undefined
    const { reason, cause = error } = this.#request
    const cancelled = new JobCancelledError({ reason, cause })
    VmError.locate(cancelled, 'batch', undefined)
    return cancelled
  }
}

/** The user's own reason, where there is one. */
const reasonOf = ({ reason, cause = new DOMException(reason, 'AbortError') }: CancelRequest): unknown => cause

/** Whether a function that failed so has obeyed the signal. */
function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted !== true || error instanceof VmError) return false
  return error === signal.reason || (isNamed(error) && error.name === 'AbortError')
}

const isNamed = (error: unknown): error is { readonly name: unknown } =>
  typeof error === 'object' && error !== null && 'name' in error
