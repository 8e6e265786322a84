import { poll } from '../driver/poll.js'
import type { Task } from '../driver/task.js'
import { GuestUnavailableError, InvalidStateError } from '../errors.js'
import type { GuestHost, GuestWay } from './guest-way.js'

const backoff = { initialMs: 100, maxMs: 500 }

/** Looks into a guest again and again until there is an answer, also if the guest can't be reached yet. */
export const pollGuest = <T>(
  host: GuestHost,
  vm: string,
  task: Task,
  look: (way: GuestWay) => Promise<T | undefined>,
): Promise<T> => {
  // Read before any waiting, so that the job can be cancelled from its first moment.
  const { signal } = task
  return poll(
    () =>
      host.use(vm, task, look).catch((error: unknown) => {
        if (!mayPass(error)) throw error
        task.progress({ phase: 'waiting for the guest' })
        return undefined
      }),
    { ...backoff, signal },
  )
}

/** Whether the guest may answer later. The state of a VM is unknown while its host hangs. */
const mayPass = (error: unknown): boolean =>
  (error instanceof GuestUnavailableError && error.retryable) ||
  (error instanceof InvalidStateError && error.state === 'unknown')
