import { setTimeout as delay } from 'node:timers/promises'
import type { Job } from './job/job.js'
import { checkTimeout } from './job/timeout.js'
import type { VmStatistics } from './model/statistics.js'
import { validate } from './errors/validate.js'
import type { GetStatisticsErrors } from './operation-errors.js'
import { VmError } from './vm-error.js'
import { watchSchema, type WatchOptions } from './vm-arguments.js'

/** Takes statistics at an interval; ends when the VM does not run any more, and throws other errors. */
export async function* statisticsOf(
  take: (signal: AbortSignal | undefined) => Job<VmStatistics, GetStatisticsErrors>,
  options: WatchOptions,
): AsyncGenerator<VmStatistics, void, undefined> {
  const valid = validate(watchSchema, options, 'options')
  if (valid.isErr()) throw valid.error
  const { intervalMs = 1000, signal } = valid.value
  const invalid = checkTimeout(intervalMs, 'intervalMs')
  if (invalid !== undefined) throw invalid
  for (;;) {
    const result = await take(signal)
    if (result.isErr()) {
      if (result.error.code === 'INVALID_STATE') return
      throw VmError.withCaller(result.error, new Error())
    }
    yield result.value
    // An abortion ends the delay, and then the next call is refused with the typed error.
    await delay(intervalMs, undefined, { signal }).catch(() => undefined)
  }
}
