import type { BackoffOptions } from './batch-options.js'

/** Milliseconds to wait after so many attempts. */
export function backoffMs(attempts: number, { initialMs = 200, maxMs = 30_000, factor = 2 }: BackoffOptions): number {
  const delay = Math.min(maxMs, initialMs * factor ** (attempts - 1))
  return delay * (0.5 + Math.random() / 2)
}
