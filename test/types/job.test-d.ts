import type { AsyncLocalStorage } from 'node:async_hooks'
import {
  Job,
  type InvalidArgumentError,
  type JobError,
  type JobFinishedError,
  type JobNotCancelableError,
  type JobRef,
  type JobValue,
  type Progress,
  type Result,
  type ResultAsync,
  type ResourceBusyError,
  type StartErrors,
  type Vm,
  type VmNotFoundError,
  type WaitAbortedError,
  type WaitTimeoutError,
} from 'awaitvm'
import { describe, expectTypeOf, test } from 'vitest'

declare const vm: Vm
declare const numbers: Job<number, VmNotFoundError>
declare const texts: JobRef<string, ResourceBusyError>
declare const list: readonly Job<number, VmNotFoundError>[]
declare const context: AsyncLocalStorage<unknown>

describe('await', () => {
  test('gives the Result', () => {
    expectTypeOf<Awaited<Job<number, VmNotFoundError>>>().toEqualTypeOf<Result<number, VmNotFoundError>>()
    expectTypeOf<Awaited<typeof numbers>>().toEqualTypeOf<Result<number, VmNotFoundError>>()
    expectTypeOf(async () => await vm.start()).returns.resolves.toEqualTypeOf<Result<void, StartErrors>>()
  })

  test('a job is a thenable that never rejects: it has no catch and no finally', () => {
    expectTypeOf(numbers).toExtend<PromiseLike<Result<number, VmNotFoundError>>>()
    expectTypeOf(numbers).not.toExtend<Promise<unknown>>()
    // @ts-expect-error a catch would never be called
    void vm.start().catch(() => undefined)
    // @ts-expect-error nor is there a finally
    void vm.start().finally(() => undefined)
    expectTypeOf(numbers).not.toHaveProperty('catch')
    expectTypeOf(numbers).not.toHaveProperty('finally')
  })

  test('then gives what its callbacks give', () => {
    expectTypeOf(numbers.then((result) => result.isOk())).toEqualTypeOf<Promise<boolean>>()
    expectTypeOf(numbers.then()).toEqualTypeOf<Promise<Result<number, VmNotFoundError>>>()
    expectTypeOf(numbers.then(null, null)).toEqualTypeOf<Promise<Result<number, VmNotFoundError>>>()
  })
})

test('a JobRef has no then, and survives async code', () => {
  expectTypeOf(texts).not.toHaveProperty('then')
  expectTypeOf(texts).not.toExtend<PromiseLike<unknown>>()
  expectTypeOf(async () => numbers.ref).returns.resolves.toEqualTypeOf<JobRef<number, VmNotFoundError>>()
  expectTypeOf(numbers).toExtend<JobRef<number, VmNotFoundError>>()
  expectTypeOf(texts).not.toExtend<Job<string, ResourceBusyError>>()
})

test('what it tells of itself', () => {
  expectTypeOf(numbers.result).toEqualTypeOf<Result<number, VmNotFoundError> | undefined>()
  expectTypeOf(numbers.retCode).toEqualTypeOf<'SUCCESS' | 'VM_NOT_FOUND' | undefined>()
  expectTypeOf(numbers.status).toEqualTypeOf<'running' | 'finished' | 'unknown'>()
  expectTypeOf(numbers).toExtend<AsyncIterable<Progress>>()
  expectTypeOf(numbers).toExtend<AsyncDisposable>()
  expectTypeOf(numbers.unwrap()).toEqualTypeOf<Promise<number>>()
  expectTypeOf(numbers.toResultAsync()).toEqualTypeOf<ResultAsync<number, VmNotFoundError>>()
  expectTypeOf(numbers.cancel()).toEqualTypeOf<Job<void, JobNotCancelableError | JobFinishedError>>()
  expectTypeOf(numbers.wait({ timeoutMs: 5 })).resolves.toEqualTypeOf<
    Result<number, VmNotFoundError | WaitTimeoutError | WaitAbortedError | InvalidArgumentError>
  >()
})

test('it is covariant', () => {
  expectTypeOf<Job<Vm, StartErrors>>().toExtend<Job<unknown>>()
  expectTypeOf<Job<Vm, StartErrors>>().toExtend<JobRef<unknown>>()
  expectTypeOf<Job<number, VmNotFoundError>>().toExtend<Job<number | string, VmNotFoundError | ResourceBusyError>>()
  expectTypeOf<Job<unknown>>().not.toExtend<Job<Vm, StartErrors>>()
  expectTypeOf<Job<number>>().not.toExtend<Job<number, VmNotFoundError>>()
})

test('its value and its error can be named', () => {
  expectTypeOf<JobValue<typeof numbers>>().toEqualTypeOf<number>()
  expectTypeOf<JobError<typeof numbers>>().toEqualTypeOf<VmNotFoundError>()
  expectTypeOf<JobError<ReturnType<Vm['start']>>>().toEqualTypeOf<StartErrors>()
})

test('Job.all keeps a tuple', () => {
  expectTypeOf(Job.all([numbers, texts]).unwrap()).resolves.toEqualTypeOf<[number, string]>()
  expectTypeOf(Job.all([numbers, texts])).toEqualTypeOf<
    Job<[number, string], VmNotFoundError | ResourceBusyError | InvalidArgumentError>
  >()
  expectTypeOf(Job.all(list).unwrap()).resolves.toEqualTypeOf<number[]>()
  // @ts-expect-error a text is no job
  void Job.all(['text'])
})

test('a callback of any context takes one', () => {
  expectTypeOf(context.run(1, () => vm.start())).toEqualTypeOf<Job<void, StartErrors>>()
})
