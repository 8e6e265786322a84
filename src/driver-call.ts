import type { Result } from 'neverthrow'
import type { Driver, DriverOperationTypes } from './driver/driver.js'
import type { Task } from './driver/task.js'
import { InvalidArgumentError, NotSupportedError, type VmError } from './errors.js'
import type { JobOptions } from './job/job-options.js'
import type { JobRunner } from './job/job-runner.js'
import { JobSteps } from './job/job-steps.js'
import type { Job } from './job/job.js'
import type { Capability, DriverOperation, JobTarget, OperationCode, operations } from './operations.js'
import type { OperationErrors } from './operation-errors.js'

/** The operations of a VM. */
export type VmOperation = Extract<DriverOperation, `vm.${string}`>

/** Those that answer the state that they led to. */
export type StateChange = {
  [O in VmOperation]: (typeof operations)[O]['answers'] extends 'state' ? O : never
}[VmOperation]

type CompleteInput<O extends DriverOperation> = (
  input: DriverOperationTypes[O]['input'],
  task: Task,
) => Promise<DriverOperationTypes[O]['input']>

/** One call of a driver's operation by a facade. */
export interface DriverCall<O extends DriverOperation, C extends OperationCode, T> {
  /** The driver's operation. */
  readonly method: O
  /** The operation that the job names: the driver's, or one that is done with it. */
  readonly operation: C
  readonly target: JobTarget
  /** What the driver is given, or what is wrong with it. */
  readonly input: DriverOperationTypes[O]['input'] | InvalidArgumentError
  /** Completes the input by asking the host, before anything is changed. */
  readonly complete?: CompleteInput<O> | undefined
  readonly options: JobOptions | undefined
  /** Features that the call needs besides the operation. */
  readonly needs?: readonly Capability[] | undefined
  /** It takes no place in line for the host: it only follows a job of the host. */
  readonly isAside?: boolean | undefined
  readonly map: (output: DriverOperationTypes[O]['output']) => T
}

/** What the facades of one connection share. */
export interface DriverConnection {
  readonly driver: Driver
  readonly runner: JobRunner
  readonly capabilities: ReadonlySet<Capability>
}

/** Makes a job of a driver's operation. If the host can't do it, or the input is invalid, the job has failed and nothing is sent. */
export function callDriver<O extends DriverOperation, C extends OperationCode, T>(
  { driver, runner, capabilities }: DriverConnection,
  call: DriverCall<O, C, T>,
): Job<T, OperationErrors<C>> {
  const { operation, target, input, complete, options, needs = [], map } = call
  const perform = driver.operations[call.method]
  if (perform === undefined) return runner.refuse(operation, target, notSupported(driver, operation))
  const missing = needs.find((feature) => !capabilities.has(feature))
  if (missing !== undefined) return runner.refuse(operation, target, notSupported(driver, missing))
  if (input instanceof InvalidArgumentError) return runner.refuse(operation, target, input)
  const work = async (task: Task): Promise<T> =>
    map(await perform(complete === undefined ? input : await complete(input, task), task))
  const job = { operation, target, options, work }
  const isAside = call.isAside === true || driver.waitingOperations?.has(call.method) === true
  return isAside ? runner.runAside(job) : runner.run(job)
}

/** A call that is made of other jobs, one after another. */
export interface SteppedCall<C extends OperationCode, T> {
  readonly operation: C
  readonly target: JobTarget
  /** What the jobs need. */
  readonly needs: readonly Capability[]
  /** What is wrong with the arguments, if anything. */
  readonly refusal?: InvalidArgumentError | undefined
  readonly options: JobOptions | undefined
  readonly work: (steps: JobSteps) => Promise<Result<T, VmError>>
}

/** Makes one job of several. If the host can't do all of them, or an argument is invalid, the job has failed and nothing is sent. */
export function callInSteps<C extends OperationCode, T>(
  { driver, runner, capabilities }: DriverConnection,
  { operation, target, needs, refusal, options, work }: SteppedCall<C, T>,
): Job<T, OperationErrors<C>> {
  const missing = needs.find((capability) => !capabilities.has(capability))
  if (missing !== undefined) return runner.refuse(operation, target, notSupported(driver, missing))
  if (refusal !== undefined) return runner.refuse(operation, target, refusal)
  return runner.runAside({
    operation,
    target,
    options,
    hasNoDefaultLimit: true,
    work: async (task) => {
      const result = await work(new JobSteps(task))
      if (result.isErr()) throw result.error
      return result.value
    },
  })
}

export const notSupported = (driver: Driver, capability: Capability): NotSupportedError =>
  new NotSupportedError({
    capability,
    reason: `the ${driver.name} host does not offer ${capability}`,
    hint: 'server.capabilities tells what it offers.',
  })
