import { inBackground } from '../background.js'
import * as v from 'valibot'
import { ProtocolError, TimeoutError } from '../errors.js'
import { requireState, statesToClone } from '../errors/state.js'
import { validate } from '../errors/validate.js'
import { nonEmpty, object, optional } from '../model/schema.js'
import {
  features,
  isDriverOperation,
  operationCodes,
  operations as operationTable,
  type DriverOperation,
  type OperationSpec,
} from '../operations.js'
import { checkAnswer, checkEvent } from './check-answer.js'
import type { VmRecord } from '../model/vm-record.js'
import type { Driver, DriverOperations, DriverOperationTypes } from './driver.js'
import { hostTask } from './host-task.js'
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
 * ends with a {@link ProtocolError}; it refuses VMs in another state than the table says; it finds VMs by name and filters lists if
 * it can list them; and it closes in time.
 */
export function checkedDriver(driver: Driver): Driver {
  const valid = validate(driverSchema, driver, 'driver')
  if (valid.isErr()) {
    const { reason, hint = 'The type Driver of awaitvm/driver tells what a driver needs.' } = valid.error
    throw new ProtocolError({ reason: `what was opened is not a driver: ${reason}`, hint })
  }
  const { name, features, maxConcurrentOperations, waitingOperations } = driver
  const operations = completed(withCheckedAnswers(driver))
  return {
    name,
    features,
    maxConcurrentOperations,
    waitingOperations,
    operations: driver.checksStates === true ? operations : withCheckedStates(operations),
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

/** The same operations, each in a wrapper. */
function wrapped(
  operations: DriverOperations,
  wrap: <O extends DriverOperation>(code: O, perform: Perform<O>) => Perform<O>,
): DriverOperations {
  const entryOf = <O extends DriverOperation>(code: O): [O, Perform<O>][] => {
    const perform = operations[code]
    return perform === undefined ? [] : [[code, wrap(code, perform)]]
  }
  return Object.fromEntries(operationCodes.filter(isDriverOperation).flatMap((code) => entryOf(code)))
}

const withCheckedAnswers = ({ name, operations }: Driver): DriverOperations =>
  wrapped(operations, (code, perform) => async (input, task) => {
    const answer = await perform.call(operations, input, task)
    checkAnswer(name, code, answer)
    return answer
  })

/** Each operation that needs a state asks for it first: the VM's state is refused before the driver's operation is called. */
function withCheckedStates(operations: DriverOperations): DriverOperations {
  const { 'vm.getState': getState } = operations
  if (getState === undefined) return operations
  return wrapped(operations, (code, perform) => {
    const { from, fromKill }: OperationSpec = operationTable[code]
    if (from === undefined) return perform
    return async (input, task) => {
      if ('vm' in input) {
        const { vm } = input
        const isKill = 'mode' in input && input.mode === 'kill'
        const expected = isKill ? fromKill : 'memory' in input ? statesToClone(input) : from
        requireState(code, await hostTask(task).askFirst(() => getState({ vm }, task)), expected)
      }
      return await perform(input, task)
    }
  })
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
