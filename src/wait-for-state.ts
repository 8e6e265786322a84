import type { Driver, DriverOperations } from './driver/driver.js'
import type { Task } from './driver/task.js'
import { JobCancelledError } from './errors.js'
import type { VmState } from './model/vm-state.js'

/** How often to ask a host whose events leave out what other processes do. */
const pollIntervalMs = 500

/** Resolves once the host says that the VM is in one of the states; rejects when it can't be asked, or on abortion. */
export async function watchForState(
  driver: Driver,
  getState: NonNullable<DriverOperations['vm.getState']>,
  { vm, wanted }: { readonly vm: string; readonly wanted: ReadonlySet<VmState> },
  task: Task,
): Promise<VmState> {
  const { signal } = task
  return await new Promise((resolve, reject) => {
    const finish = (end: () => void): void => {
      unsubscribe()
      clearInterval(timer)
      signal.removeEventListener('abort', onAbort)
      end()
    }
    let asking = 0
    const ask = (): void => {
      asking += 1
      const asked = getState({ vm }, task)
      asked.then(
        (state) => {
          asking -= 1
          if (wanted.has(state))
            finish(() => {
              resolve(state)
            })
        },
        () => {
          finish(() => {
            resolve(asked)
          })
        },
      )
    }
    const onAbort = (): void => {
      finish(() => {
        reject(new JobCancelledError({ reason: 'the wait was cancelled', cause: signal.reason }))
      })
    }
    // Listening comes before asking, so that no change falls between the two.
    const unsubscribe = driver.subscribe((event) => {
      if (!('vmId' in event) || event.vmId !== vm) return
      if (event.type === 'state' && wanted.has(event.state))
        finish(() => {
          resolve(event.state)
        })
      else if (event.type === 'deleted') ask()
    })
    const timer = driver.features.has('server.events.global')
      ? undefined
      : setInterval(() => {
          // A host that is slower than the interval must not get more and more questions.
          if (asking === 0) ask()
        }, pollIntervalMs)
    signal.addEventListener('abort', onAbort)
    ask()
  })
}
