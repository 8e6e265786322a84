import { AsyncLocalStorage, createHook } from 'node:async_hooks'

interface Timer {
  readonly _destroyed: boolean
  hasRef(): boolean
}

const isWatched = new AsyncLocalStorage<true>()
const timers = new Set<Timer>()

createHook({
  init(_id, type, _trigger, resource) {
    if (type === 'Timeout' && isWatched.getStore() === true) timers.add(resource as Timer)
  },
}).enable()

/**
 * How many timers keep this process alive that were begun in this async context since the first call. The test runner's own,
 * which come and go with the load of the machine, do not count.
 */
export const activeTimers = (): number => {
  isWatched.enterWith(true)
  for (const timer of timers) if (timer._destroyed) timers.delete(timer)
  return [...timers].filter((timer) => timer.hasRef()).length
}
