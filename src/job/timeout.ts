import { inspect } from 'node:util'
import { InvalidArgumentError } from '../errors.js'

/** The longest delay that Node's timers keep, about 24.8 days; a longer one would fire at once. */
const maxTimeoutMs = 2 ** 31 - 1

/** What is wrong with a number of milliseconds, if anything. */
export function checkTimeout(value: unknown, path = 'timeoutMs'): InvalidArgumentError | undefined {
  if (typeof value === 'number' && value >= 0 && value <= maxTimeoutMs) return undefined
  return new InvalidArgumentError({
    path,
    reason: `${path} must be a number of milliseconds from 0 to ${String(maxTimeoutMs)}, and is ${inspect(value)}`,
    ...(path === 'timeoutMs' && { hint: 'Leave it out for no limit.' }),
  })
}
