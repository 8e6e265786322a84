/** Long enough for a machine with many times its load; what takes longer hangs. */
let defaultDeadlineMs = 120_000

/** For `vi.waitFor`, whose own limit is a second. */
export const soon = { timeout: defaultDeadlineMs, interval: 5 }

/** Options for waits that are expected to succeed. */
export const patience = { timeoutMs: defaultDeadlineMs }

/** For hosts whose guests take minutes to come up. */
export function setDefaultDeadline(ms: number): void {
  defaultDeadlineMs = ms
}

/** The promise's value, or an error that says what did not happen in time. */
export async function within<T>(
  promise: PromiseLike<T>,
  what: () => string,
  timeoutMs = defaultDeadlineMs,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`Waited ${timeoutMs} ms, without success, for ${what()}`))
    }, timeoutMs)
  })
  try {
    return await Promise.race([promise, tooLate])
  } finally {
    clearTimeout(timer)
  }
}
