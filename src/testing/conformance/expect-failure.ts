import { expect } from 'vitest'
import type { Result } from '../../result.js'
import type { VmError, VmErrorCode, VmErrors } from '../../errors.js'

/** The error of a job that must fail with one of these codes. */
export async function failureOf<C extends VmErrorCode>(
  job: PromiseLike<Result<unknown, VmError>>,
  ...codes: readonly C[]
): Promise<VmErrors[C]> {
  const result = await job
  if (result.isOk()) expect.fail(`It succeeded, and was to fail with ${codes.join(' or ')}`)
  const { error } = result
  if (!(codes as readonly string[]).includes(error.code)) {
    expect.fail(`It failed with ${error.code}, and was to fail with ${codes.join(' or ')}: ${error.message}`)
  }
  return error as VmErrors[C]
}
