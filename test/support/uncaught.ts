import { setImmediate } from 'node:timers/promises'

/** The uncaught exceptions and unhandled rejections that an action causes, hidden from the test runner. */
export async function uncaughtIn(action: () => unknown): Promise<unknown[]> {
  const errors: unknown[] = []
  const collect = (error: unknown): void => void errors.push(error)
  const events = ['uncaughtException', 'unhandledRejection'] as const
  const runners = events.map((event) => process.listeners(event as 'uncaughtException'))
  for (const event of events) {
    process.removeAllListeners(event)
    process.on(event, collect)
  }
  try {
    await action()
    // Both are reported after the microtasks of the current turn.
    for (let turn = 0; turn < 3; turn += 1) await setImmediate()
  } finally {
    events.forEach((event, index) => {
      process.removeListener(event, collect)
      for (const listener of runners[index] ?? []) process.on(event as 'uncaughtException', listener)
    })
  }
  return errors
}
