import { inBackground } from '../background.js'
import * as v from 'valibot'
import { ProtocolError, TimeoutError } from '../errors.js'
import { validate } from '../errors/validate.js'
import { nonEmpty, object, optional } from '../model/schema.js'
import { features, isDriverOperation, operationCodes, type DriverOperation } from '../operations.js'
import { checkAnswer, checkEvent } from './check-answer.js'
import type { VmRecord } from '../model/vm-record.js'
import type { Driver, DriverOperations, DriverOperationTypes } from './driver.js'
import type { Task } from './task.js'
import { filterVms, findVm } from './vm-lookup.js'

/** How long a driver may take to close; longer than any host needs to end what is under way. */
const closeTimeoutMs = 30_000

const functionSchema = v.custom<() => unknown>((value) => typeof value === 'function', 'must be a function')
const isFeature = (value: unknown): boolean => features.some((feature) => feature === value)
const atLeastOne = 'must be a number from 1'

const driverSchema = v.object(
  {
    name: nonEmpty,
    operations: object(
      Object.fromEntries(operationCodes.filter(isDriverOperation).map((code) => [code, optional(functionSchema)])),
    ),
    features: v.pipe(
      v.instance(Set, 'must be a Set'),
      v.check((set) => [...set].every(isFeature), `must have no other members than ${features.join(', ')}`),
    ),
    maxConcurrentOperations: v.pipe(v.number(atLeastOne), v.minValue(1, atLeastOne)),
    subscribe: functionSchema,
    close: functionSchema,
  },
  ({ input }) => (input === undefined ? 'is missing' : 'must be an object'),
)

/**
 * A driver that is not awaitvm's own, with what the facade relies on: it answers each operation as the table says, or the operation
 * ends with a {@link ProtocolError}; it finds VMs by name and filters lists if it can list them; and it closes in time.
 */
export function checkedDriver(driver: Driver): Driver {
  const valid = validate(driverSchema, driver, 'driver')
  if (valid.isErr()) {
    const { reason, hint = 'The type Driver of awaitvm/driver tells what a driver needs.' } = valid.error
    throw new ProtocolError({ reason: `what was opened is not a driver: ${reason}`, hint })
  }
  const { name, features, maxConcurrentOperations, waitingOperations } = driver
  return {
    name,
    features,
    maxConcurrentOperations,
    waitingOperations,
    operations: completed(checked(driver)),
    subscribe: (listener) =>
      driver.subscribe((event) => {
        inBackground(`An event of the ${name} driver`, () => {
          checkEvent(name, event)
          listener(event)
        })
      }),
    close: () => closeInTime(driver),
  }
}

type Perform<O extends DriverOperation> = (
  input: DriverOperationTypes[O]['input'],
  task: Task,
) => Promise<DriverOperationTypes[O]['output']>

/** The operations of the driver, each with a check of its answer. */
function checked(driver: Driver): DriverOperations {
  const { name, operations } = driver
  const check = <O extends DriverOperation>(operation: O): Perform<O> | undefined => {
    const perform = operations[operation]
    if (perform === undefined) return undefined
    return async (input, task) => {
      const answer = await perform.call(operations, input, task)
      checkAnswer(name, operation, answer)
      return answer
    }
  }
  const offered = operationCodes.filter(isDriverOperation).filter((code) => operations[code] !== undefined)
  return Object.fromEntries(offered.map((code) => [code, check(code)]))
}

/** What follows from a list of VMs, if the driver has no operations for it: a VM by name or id, its state, and a filtered list. */
function completed(operations: DriverOperations): DriverOperations {
  const { 'server.getVmList': list } = operations
  if (list === undefined) return operations
  const getVm = async (nameOrId: string, task: Task): Promise<VmRecord> =>
    findVm(await list({ filter: {} }, task), nameOrId)
  return {
    'server.getVm': ({ nameOrId }, task) => getVm(nameOrId, task),
    'vm.getState': async ({ vm }, task) => (await getVm(vm, task)).state,
    ...operations,
    'server.getVmList': async ({ filter }, task) => filterVms(await list({ filter }, task), filter),
  }
}

async function closeInTime(driver: Driver): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      reject(
        new TimeoutError({ reason: `the ${driver.name} driver has not closed within ${String(closeTimeoutMs)} ms` }),
      )
    }, closeTimeoutMs)
  })
  try {
    await Promise.race([driver.close(), late])
  } finally {
    clearTimeout(timer)
  }
}
