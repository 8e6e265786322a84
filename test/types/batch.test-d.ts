import {
  batch,
  err,
  ok,
  type BatchFunctionError,
  type BatchItemError,
  type BatchJob,
  type BatchOptions,
  type BatchOutcome,
  type BatchRetry,
  type BatchRow,
  type InvalidArgumentError,
  Job,
  type JobRef,
  type Result,
  type StartErrors,
  type StopErrors,
  type StopMode,
  type Vm,
  VmError,
  type VmNotFoundError,
} from 'awaitvm'
import { expectTypeOf, test } from 'vitest'

declare const vms: Vm[]
declare const gone: VmNotFoundError

test('a batch has the types of its items and of their jobs', () => {
  const job = batch(vms, (vm) => vm.start())
  expectTypeOf(job).toEqualTypeOf<BatchJob<Vm, void, StartErrors>>()
  expectTypeOf(job.jobs).toEqualTypeOf<readonly JobRef<void, StartErrors>[]>()
})

test('an async function gives Results', () => {
  const job = batch(['a'], async (name): Promise<Result<number, VmNotFoundError>> => {
    await Promise.resolve()
    return name === '' ? err(gone) : ok(1)
  })
  expectTypeOf(job).toEqualTypeOf<BatchJob<string, number, BatchFunctionError<VmNotFoundError>>>()
})

test('an async function may fail with anything that unwrap throws: a switch over what it declares does not suffice', async () => {
  const report = await batch(vms, async (vm) => {
    await vm.start().unwrap()
    return vm.name === '' ? err(gone) : ok(1)
  }).unwrap()
  for (const { result } of report.failed) {
    expectTypeOf(result.error).toEqualTypeOf<BatchItemError<VmNotFoundError | VmError | Error>>()
    // @ts-expect-error it may be no error of awaitvm
    expectTypeOf(result.error).toHaveProperty('code')
    if (result.error instanceof VmError) expectTypeOf(result.error.code).toEqualTypeOf<string>()
  }
  for (const { result } of report.succeeded) expectTypeOf(result.value).toEqualTypeOf<number>()
})

class BuildFailed extends Error {
  readonly exitCode = 1
}

test("a user's own error keeps its type", async () => {
  const job = batch(vms, (vm) => Promise.resolve(vm.name === '' ? err(new BuildFailed()) : ok('built')))
  expectTypeOf(job).toEqualTypeOf<BatchJob<Vm, string, BatchFunctionError<BuildFailed>>>()
  for (const { result } of (await job.unwrap()).failed) {
    if (result.error instanceof BuildFailed) expectTypeOf(result.error.exitCode).toEqualTypeOf<number>()
  }
  const named = batch(vms, () => Promise.resolve(err('too bad' as const)))
  expectTypeOf(named).toEqualTypeOf<BatchJob<Vm, never, BatchFunctionError<'too bad'>>>()
})

test('a function that gives a job or a promise is as one that is async', () => {
  const build = (vm: Vm): JobRef<void> | Promise<Result<void, BuildFailed>> =>
    vm.name === '' ? vm.start() : Promise.resolve(err(new BuildFailed()))
  const job = batch(vms, build)
  expectTypeOf(job).toEqualTypeOf<BatchJob<Vm, void, BatchFunctionError<BuildFailed>>>()
})

test('an outcome narrows', async () => {
  const job = batch(vms, (vm) => vm.start())
  for await (const outcome of job.outcomes()) {
    expectTypeOf(outcome).toEqualTypeOf<BatchOutcome<Vm, void, StartErrors>>()
    if (outcome.result.isErr()) expectTypeOf(outcome.result.error).toEqualTypeOf<BatchItemError<StartErrors>>()
  }
  const result = await job
  if (result.isErr()) expectTypeOf(result.error).toEqualTypeOf<InvalidArgumentError>()
  else {
    for (const { result: failure } of result.value.failed) {
      expectTypeOf(failure.error).toEqualTypeOf<BatchItemError<StartErrors>>()
    }
    for (const { result: success } of result.value.succeeded) expectTypeOf(success.value).toEqualTypeOf<void>()
  }
})

test('options see the item', () => {
  void batch(vms, (vm) => vm.start(), { hostOf: (vm) => vm.name, priority: (vm) => vm.config.memoryMiB })
  // @ts-expect-error an item is a Vm
  void batch(vms, (vm) => vm.start(), { priority: (vm: string) => vm.length })
  // @ts-expect-error a function that gives neither a job nor a Result
  void batch(vms, (vm) => vm.name)
  // @ts-expect-error items must be iterable
  void batch(5, (vm: Vm) => vm.start())
})

test('retry.when, onRetry and onOutcome see the item, the value and the errors', async () => {
  void batch(vms, (vm) => vm.start(), {
    retry: {
      attempts: 2,
      when: (error, attempt) => {
        expectTypeOf(error).toEqualTypeOf<BatchItemError<StartErrors>>()
        expectTypeOf(attempt).toEqualTypeOf<number>()
        return error.code === 'CONNECTION_FAILED'
      },
    },
    onRetry: (retry) => {
      expectTypeOf(retry).toEqualTypeOf<BatchRetry<Vm, StartErrors>>()
    },
    onOutcome: (outcome) => {
      expectTypeOf(outcome).toEqualTypeOf<BatchOutcome<Vm, void, StartErrors>>()
    },
  })
  void batch(vms, (vm, { attempt }) => Promise.resolve(attempt === 1 ? err(new BuildFailed()) : ok(vm.name)), {
    onRetry: (retry) => {
      expectTypeOf(retry).toEqualTypeOf<BatchRetry<Vm, BatchFunctionError<BuildFailed>>>()
    },
    onOutcome: (outcome) => {
      expectTypeOf(outcome).toEqualTypeOf<BatchOutcome<Vm, string, BatchFunctionError<BuildFailed>>>()
    },
    retry: {
      attempts: 2,
      when: (error) => {
        expectTypeOf(error).toEqualTypeOf<BatchItemError<BatchFunctionError<BuildFailed>>>()
        return error instanceof BuildFailed
      },
    },
  })
  // @ts-expect-error an answer that comes later
  void batch(vms, (vm) => vm.start(), { retry: { attempts: 2, when: async () => Promise.resolve(true) } })
  const report = await batch(vms, (vm) => vm.start()).unwrap()
  expectTypeOf(report.toRows()).toEqualTypeOf<BatchRow[]>()
})

test('options are declared apart from their batch', () => {
  const names: string[] = []
  const options: BatchOptions<Vm> = {
    concurrency: 4,
    onOutcome: ({ item }) => names.push(item.name),
    retry: { attempts: 2 },
  }
  expectTypeOf(batch(vms, (vm) => vm.start(), options)).toEqualTypeOf<BatchJob<Vm, void, StartErrors>>()
})

test('Job.any, race and settled have the types of their members', () => {
  const [start, stop] = [vms[0]!.start(), vms[0]!.stop()]
  expectTypeOf(Job.any([start, stop])).toEqualTypeOf<
    Job<void | StopMode, StartErrors | StopErrors | InvalidArgumentError>
  >()
  expectTypeOf(Job.race([start, vms[0]!.screenshot()]).unwrap()).resolves.toEqualTypeOf<void | Uint8Array>()
  expectTypeOf(Job.settled([start, stop])).toEqualTypeOf<
    Job<[Result<void, StartErrors>, Result<StopMode, StopErrors>], InvalidArgumentError>
  >()
})
