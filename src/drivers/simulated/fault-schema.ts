import * as v from 'valibot'
import { InvalidArgumentError, VmError } from '../../errors.js'
import { object, optional, text } from '../../model/schema.js'
import { validate } from '../../errors/validate.js'
import { operations } from '../../operations.js'
import { simulatedOperations } from './simulated-operation.js'
import { maxDelayMs } from './clock.js'
import { requireInput } from './fault-input.js'
import { interferenceChanges, type Fault } from './fault.js'

const atMost = (maximum: number, message: string): v.GenericSchema<number> =>
  v.pipe(
    v.number(message),
    v.check((value) => value >= 0 && value <= maximum, message),
  )
const milliseconds = atMost(maxDelayMs, `must be a number of milliseconds from 0 to ${String(maxDelayMs)}`)
const countMessage = 'must be a whole number from 1'
const count = v.pipe(
  v.number(countMessage),
  v.check((value) => Number.isSafeInteger(value) && value >= 1, countMessage),
)
const flag = v.boolean('must be true or false')

export const durationSchema = v.union(
  [
    milliseconds,
    v.pipe(
      v.tuple([milliseconds, milliseconds]),
      v.check(([least, most]) => least <= most, 'must have the least first'),
    ),
  ],
  `must be milliseconds from 0 to ${String(maxDelayMs)}, or the least and the most of them as [least, most]`,
)

const selection = {
  operation: optional(v.picklist(simulatedOperations, 'must be the code of an operation, such as "vm.start"')),
  vm: optional(text),
  input: optional(v.looseObject({}, 'must be an object')),
  call: optional(count),
  times: optional(count),
  probability: optional(atMost(1, 'must be a number from 0 to 1')),
}

const moments = <const M extends readonly [string, string]>(values: M): v.GenericSchema<M[number]> =>
  v.picklist(values, `must be "${values[0]}" or "${values[1]}"`)

const effects = {
  error: {
    error: v.custom<VmError | (() => VmError)>(
      (error) => error instanceof VmError || typeof error === 'function',
      'must be a VmError, or a function that makes one',
    ),
  },
  hang: {},
  lostConnection: {
    moment: optional(moments(['before', 'inFlight'])),
    done: optional(flag),
    forMs: optional(
      v.union([milliseconds, v.literal(Infinity)], `must be milliseconds from 0 to ${String(maxDelayMs)}, or Infinity`),
    ),
    tells: optional(flag),
  },
  slow: { latency: durationSchema, steps: optional(count) },
  refuseCancel: {},
  interference: { change: v.picklist(interferenceChanges, `must be one of ${interferenceChanges.join(', ')}`) },
  crash: {
    moment: optional(moments(['during', 'after'])),
    message: optional(text),
    afterMs: optional(milliseconds),
  },
} as const satisfies Record<Fault['kind'], v.ObjectEntries>

const kinds = Object.keys(effects) as Fault['kind'][]
const kindSchema = v.looseObject({ kind: v.picklist(kinds, `must be one of ${kinds.join(', ')}`) })

const schemaOf = (kind: Fault['kind']): v.GenericSchema =>
  object({ kind: v.literal(kind), ...selection, ...effects[kind] })

/** Checks a fault and copies it. Throws an {@link InvalidArgumentError} that names what is wrong with it. */
export function requireFault(fault: unknown, path: string): Fault {
  const kind = validate(kindSchema, fault, path)
  if (kind.isErr()) throw kind.error
  const valid = validate(schemaOf(kind.value.kind), fault, path)
  if (valid.isErr()) throw valid.error
  const checked = valid.value as Fault
  requireConsistent(checked, path)
  return checked
}

function requireConsistent(fault: Fault, path: string): void {
  const wrong = (key: string, reason: string): InvalidArgumentError =>
    new InvalidArgumentError({ path: `${path}.${key}`, reason: `${path}.${key} ${reason}` })
  const { operation, input, vm, kind } = fault
  if (input !== undefined) requireInput(operation, input, `${path}.input`)
  const isOfHost = operation === 'connect' || operation?.startsWith('server.') === true
  const namesVm = !isOfHost || operation === 'server.createVm' || operation === 'server.getVm'
  if (!namesVm && vm !== undefined) throw wrong('vm', `is given, and ${operation} is of no VM`)
  if (isOfHost && (kind === 'crash' || kind === 'interference')) {
    throw wrong('kind', `is ${kind}, and ${operation} is of no VM that is there`)
  }
  if (kind === 'lostConnection' && fault.moment === 'before' && (fault.done === true || fault.tells === true)) {
    throw wrong(fault.done === true ? 'done' : 'tells', 'is true, and nothing was sent')
  }
  if (kind === 'error' && fault.error instanceof VmError && operation !== undefined) {
    const { errors }: { readonly errors: readonly string[] } = operations[operation]
    if (!errors.includes(fault.error.code)) {
      throw wrong('error', `is ${fault.error.code}, and ${operation} ends with one of ${errors.join(', ')}`)
    }
  }
}
