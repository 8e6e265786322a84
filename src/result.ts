import type { Result } from 'neverthrow'

export { Err, err, errAsync, Ok, ok, okAsync, type Result, ResultAsync } from 'neverthrow'

/** By its methods: the neverthrow of a user may be another copy. */
export const isResult = <T = unknown>(value: unknown): value is Result<T, unknown> =>
  typeof value === 'object' &&
  value !== null &&
  'isOk' in value &&
  typeof value.isOk === 'function' &&
  'isErr' in value &&
  typeof value.isErr === 'function'
