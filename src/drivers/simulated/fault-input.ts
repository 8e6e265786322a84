import { isDeepStrictEqual } from 'node:util'
import type { DriverOperation, DriverOperationTypes } from '../../driver/driver.js'
import { InvalidArgumentError } from '../../errors.js'
import { hintForName, notKnown, unknownName } from '../../model/unknown-name.js'

/** The inputs of operations, besides the VM, by which a fault selects calls. */
const inputNames = {
  'server.getVmList': ['filter'],
  'server.getVm': ['nameOrId'],
  'server.createVm': ['spec'],
  'server.registerVm': ['path'],
  'server.attachJob': ['token'],
  'vm.stop': ['mode'],
  'vm.edit': ['changes'],
  'vm.clone': ['name', 'linked'],
  'vm.migrate': ['to'],
  'vm.createSnapshot': ['name', 'description'],
  'vm.switchToSnapshot': ['snapshot'],
  'vm.deleteSnapshot': ['snapshot'],
  'vm.sendKeys': ['keys'],
  'guest.exec': ['argv', 'options'],
  'guest.copyIn': ['from', 'to'],
  'guest.copyOut': ['from', 'to'],
} as const satisfies { readonly [O in DriverOperation]?: readonly (keyof DriverOperationTypes[O]['input'])[] }

type WithInput = keyof typeof inputNames
type Part<T> = T extends string | boolean | readonly unknown[] ? T : Partial<T>

/** An operation and a part of its input. */
export type FaultInput = {
  readonly [O in WithInput]: {
    /** The operation that is called. */
    readonly operation: O
    /** The input of the call, or a part of it: `{ mode: 'kill' }` of `'vm.stop'`. */
    readonly input: {
      readonly [K in Exclude<keyof DriverOperationTypes[O]['input'], 'vm'>]?: Part<DriverOperationTypes[O]['input'][K]>
    }
  }
}[WithInput]

const hasInput = (operation: unknown): operation is WithInput =>
  typeof operation === 'string' && Object.hasOwn(inputNames, operation)

/** Throws if the operation has no input of such a name. */
export function requireInput(operation: string | undefined, input: object, path: string): void {
  if (!hasInput(operation)) {
    const what = operation === undefined ? 'no operation is' : `${operation} is not one that is`
    throw new InvalidArgumentError({
      path,
      reason: `${path} is given, and ${what} named that takes an input`,
      hint: `Those that do are ${Object.keys(inputNames).join(', ')}.`,
    })
  }
  const known = inputNames[operation]
  const other = unknownName(input, known)
  if (other === undefined) return
  const place = `${path}.${other}`
  throw new InvalidArgumentError({ path: place, reason: `${place} ${notKnown}`, hint: hintForName(other, known) })
}

/** True if the input of a call matches. Of an object, only the named properties count. */
export function isGiven(actual: unknown, wanted: unknown): boolean {
  if (typeof wanted !== 'object' || wanted === null || Array.isArray(wanted)) return isDeepStrictEqual(actual, wanted)
  if (typeof actual !== 'object' || actual === null) return false
  return Object.entries(wanted).every(([key, value]) => isGiven(Reflect.get(actual, key), value))
}
