import type { Result } from 'neverthrow'
import { InvalidArgumentError, type JobCancelledError } from '../errors.js'
import { JobCore } from '../job/job-core.js'
import type { JobRef } from '../job/job.js'
import { applyOptions } from '../job/job-options.js'
import { validate } from '../errors/validate.js'
import { Server } from '../server.js'
import { Vm } from '../vm.js'
import { BatchJob } from './batch-job.js'
import type { BatchContext, BatchError, BatchOperation, BatchValue } from './batch-operation.js'
import { batchSchema, type BatchOptions } from './batch-options.js'
import type { BatchReport } from './batch-report.js'
import { BatchRun } from './batch-run.js'
import { itemSource, type ItemSource } from './item-source.js'

/**
 * Runs a function for each item of a list, a limited number at a time, and reports the outcome of each. It begins at once, and takes
 * items from the list as places become free, so a list may be endless or asynchronous.
 *
 * A failed item is an outcome in the report, not a failure of the batch. Cancelling the batch starts no further item and cancels
 * the running ones; the report has what was done before. With an `async` function, an item may also fail with errors of its own,
 * which stay as they are.
 *
 * @example
 * ```ts
 * import { batch, connect } from 'awaitvm'
 *
 * await using server = await connect('embedded:').unwrap()
 * const names = Array.from({ length: 20 }, (_, index) => `web-${index}`)
 * const creating = batch(names, (name) => server.createVm({ name }), { concurrency: 8 })
 * for await (const { percent, items } of creating) console.log(percent, items?.running, items?.failed)
 *
 * const report = await creating.unwrap()
 * for (const { item, result } of report.failed) console.error(item, result.error.message)
 * const vms = report.succeeded.map(({ result }) => result.value)
 * console.log(vms.length, report.isSuccess)
 * ```
 */
// Not `unknown`: while R is not inferred yet, the options are compared with those of its constraint.
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export function batch<Item, R extends JobRef<any, any> | PromiseLike<Result<any, any>>>(
  items: Iterable<Item> | AsyncIterable<Item>,
  operation: (item: Item, context: BatchContext) => R,
  options?: NoInfer<BatchOptions<Item, BatchValue<R>, BatchError<R>>>,
): BatchJob<Item, BatchValue<R>, BatchError<R>>
export function batch<Item, T, E>(
  items: Iterable<Item> | AsyncIterable<Item>,
  operation: BatchOperation<Item, T, E>,
  options: BatchOptions<Item, T, E> = {},
): BatchJob<Item, T, E> {
  const core = new JobCore<BatchReport<Item, T, E>, InvalidArgumentError>('batch')
  const refuse = (error: InvalidArgumentError): BatchJob<Item, T, E> => {
    core.fail(error)
    return new BatchJob(core, undefined)
  }
  const valid = validate(batchSchema, options, 'options')
  if (valid.isErr()) return refuse(valid.error)
  if (typeof operation !== 'function') return refuse(wrong('operation', 'operation must be a function'))
  const source = sourceOf<Item>(items)
  if (source instanceof InvalidArgumentError) return refuse(source)
  // Not `timeoutMs`: the batch keeps its own time, since it must end with a report.
  const { signal, onProgress } = valid.value
  const refusal = applyOptions(core, { signal, onProgress })
  if (refusal instanceof InvalidArgumentError) return refuse(refusal)
  const settings = valid.value as BatchOptions<Item, T, E>
  const run = new BatchRun(core, source, operation, { ...settings, hostOf: settings.hostOf ?? connectionOf })
  run.begin(refusal as JobCancelledError | undefined)
  return new BatchJob(core, run)
}

function sourceOf<Item>(items: unknown): ItemSource<Item> | InvalidArgumentError {
  try {
    return itemSource<Item>(items) ?? wrong('items', 'items must be an iterable or an async iterable')
  } catch (cause) {
    return new InvalidArgumentError({ path: 'items', reason: "items can't be read", cause })
  }
}

const connectionOf = (item: unknown): unknown =>
  item instanceof Vm ? Vm.connectionOf(item) : item instanceof Server ? item : undefined

const wrong = (path: string, reason: string): InvalidArgumentError => new InvalidArgumentError({ path, reason })
