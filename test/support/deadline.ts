/** Long enough for a loaded machine; what takes longer hangs. */
const defaultDeadlineMs = 20_000

/** The promise's value, or an error that says what was waited for in vain. */
export async function within<T>(
  promise: PromiseLike<T>,
  what: () => string,
  timeoutMs = defaultDeadlineMs,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const tooLate = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(new Error(`Waited ${timeoutMs} ms in vain for ${what()}`))
    }, timeoutMs)
  })
  try {
    return await Promise.race([promise, tooLate])
  } finally {
    clearTimeout(timer)
  }
}
