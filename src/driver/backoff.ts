/** Pauses that get longer from one to the next. */
export interface Backoff {
  /** The first pause, in milliseconds. */
  readonly initialMs: number
  /** The longest pause, in milliseconds. */
  readonly maxMs: number
  /** How many times as long each pause is as the one before: 2 if absent. */
  readonly factor?: number | undefined
}

/** The length in milliseconds of the pause after so many attempts, the first of which is 1. */
export const backoffMs = (attempts: number, { initialMs, maxMs, factor = 2 }: Backoff): number =>
  Math.min(maxMs, initialMs * factor ** (attempts - 1))

/** Half of the time, and a random part of the other half: many clients that wait for one host don't all come back at once. */
export const withJitter = (ms: number): number => ms * (0.5 + Math.random() / 2)

/** Waits for a time in milliseconds, or until one of the signals is aborted. Never rejects. */
export function pause(ms: number, ...ends: readonly (AbortSignal | undefined)[]): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer)
      for (const signal of ends) signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = setTimeout(end, ms)
    for (const signal of ends) signal?.addEventListener('abort', end)
    if (ends.some((signal) => signal?.aborted === true)) end()
  })
}
