import { notSupported, type DriverConnection } from './driver-call.js'
import type { Driver, DriverOperations } from './driver/driver.js'
import type { Task } from './driver/task.js'
import { JobCancelledError } from './errors.js'
import { validate } from './errors/validate.js'
import type { JobOptions } from './job/job-options.js'
import type { Job } from './job/job.js'
import type { VmState } from './model/vm-state.js'
import type { WaitForStateErrors } from './operation-errors.js'
import type { JobTarget } from './operations.js'
import { statesSchema } from './vm-arguments.js'

/** How often to ask a host whose events leave out what other processes do. */
const pollIntervalMs = 500

/** `vm.waitForState()`: by events of the host, and by asking it. */
export function waitForState(
  { driver, runner }: DriverConnection,
  states: VmState | readonly VmState[],
  options: JobOptions | undefined,
  { target, keepState }: { readonly target: JobTarget; readonly keepState: (state: VmState) => VmState },
): Job<VmState, WaitForStateErrors> {
  const operation = 'vm.waitForState'
  const getState = driver.operations['vm.getState']
  if (getState === undefined) return runner.refuse(operation, target, notSupported(driver, operation))
  const valid = validate(statesSchema, states, 'states')
  if (valid.isErr()) return runner.refuse(operation, target, valid.error)
  const wanted = new Set(typeof valid.value === 'string' ? [valid.value] : valid.value)
  const vm = target.id
  return runner.runAside({
    operation,
    target,
    options,
    work: async (task) => keepState(await watchForState(driver, getState, { vm, wanted }, task)),
  })
}

/** Resolves once the host says that the VM is in one of the states; rejects when it can't be asked, or on abortion. */
async function watchForState(
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
