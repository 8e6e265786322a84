import { expect } from 'vitest'
import type { SimulatedOperation } from '../drivers/simulated/simulated-operation.js'
import type { VmErrorCode, VmErrors } from '../errors.js'
import type { JobRef } from '../job/job.js'
import { toBeOk, toFailWith, toHaveCalled, type ExpectedCall } from './matchers.js'

export type { ExpectedCall }

/** A matcher of a job, or of a promise of a Result, gives a promise, which must be awaited. */
type Waiting<T> = T extends JobRef<unknown> | { then(...callbacks: never): unknown } ? Promise<void> : void

interface JobMatchers<T> {
  /** A Result, or that of a job or promise, is ok; with this value, if one is given. */
  toBeOk(...value: [unknown?]): Waiting<T>
  /** A Result, or that of a job or promise, has an error of this code, with these properties. */
  toFailWith<C extends VmErrorCode>(code: C, properties?: Partial<VmErrors[C]>): Waiting<T>
  /** A simulated server, or its `calls`, has such calls of the operation. */
  toHaveCalled(operation: SimulatedOperation, expected?: ExpectedCall): void
  readonly not: JobMatchers<T>
}

declare module 'vitest' {
  // Vitest's interface for custom matchers has other type parameters from version 5 on; that of `expect` has none.
  interface ExpectStatic {
    // eslint-disable-next-line @typescript-eslint/prefer-function-type -- it is merged with vitest's own
    <T>(actual: T, message?: string): ReturnType<typeof expect.soft<T>> & JobMatchers<T>
  }
}

expect.extend({ toBeOk, toFailWith, toHaveCalled })
