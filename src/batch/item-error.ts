import { inspect, types } from 'node:util'
import type { Result } from 'neverthrow'
import { VmError } from '../errors.js'

/** True also for an error of another realm. */
export const isError = (value: unknown): value is Error => value instanceof Error || types.isNativeError(value)

/** Any value can be thrown, even one that can't be converted to a string. */
export const wordsOf = (thrown: unknown): string =>
  isError(thrown) ? thrown.message : typeof thrown === 'string' ? thrown : inspect(thrown)

/** The `code` of an error of awaitvm, of Node or of the user; empty if it has none. */
export const codeOf = (error: unknown): string =>
  isError(error) && 'code' in error && typeof error.code === 'string' ? error.code : ''

export const isCancelled = (result: Result<unknown, unknown>): boolean =>
  result.isErr() && result.error instanceof VmError && result.error.code === 'JOB_CANCELLED'

/** The error, as one of the batch. */
export function located<X extends VmError>(error: X): X {
  VmError.locate(error, 'batch', undefined)
  return error
}
