import { JobCancelledError, VmError } from '../errors.js'
import type { CancelRequest } from '../job/cancellation.js'
import type { AttemptSource } from './batch-operation.js'
import { located } from './item-error.js'

/** The signal for the functions of a batch; created on first use, since most never read it. */
export class BatchSignal implements AttemptSource {
  #controller: AbortController | undefined
  /** The first request. */
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
    return located(new JobCancelledError({ reason, cause }))
  }
}

/** The user's own reason, if there is one. */
const reasonOf = ({ reason, cause = new DOMException(reason, 'AbortError') }: CancelRequest): unknown => cause

/** True if this error means that the function obeyed the signal. */
function isAbort(error: unknown, signal: AbortSignal | undefined): boolean {
  if (signal?.aborted !== true || error instanceof VmError) return false
  return error === signal.reason || (isNamed(error) && error.name === 'AbortError')
}

const isNamed = (error: unknown): error is { readonly name: unknown } =>
  typeof error === 'object' && error !== null && 'name' in error
