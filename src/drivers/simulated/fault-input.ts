import { isDeepStrictEqual } from 'node:util'
import type { DriverOperationTypes } from '../../driver/driver.js'
import type { DriverOperation } from '../../operations.js'
import { InvalidArgumentError } from '../../errors.js'
import { hintForName, notKnown, unknownName } from '../../model/unknown-name.js'

/** The names of what an operation takes besides the VM, and besides what passes bytes. */
export type InputName<O extends DriverOperation> = Exclude<
  keyof DriverOperationTypes[O]['input'],
  'vm' | 'io' | 'input' | 'output'
>

/** An operation that takes an input besides the VM. */
export type OperationWithInput = {
  [O in DriverOperation]: string extends InputName<O> ? never : InputName<O> extends never ? never : O
}[DriverOperation]

/** The inputs of operations, by which a fault selects calls. */
const inputNames = {
  'server.getVmList': ['filter'],
  'server.getVm': ['nameOrId'],
  'server.createVm': ['spec'],
  'server.registerVm': ['path'],
  'images.fetch': ['image'],
  'images.remove': ['id'],
  'server.attachJob': ['token'],
  'vm.stop': ['mode'],
  'vm.edit': ['changes'],
  'vm.clone': ['name', 'linked', 'memory', 'snapshot'],
  'vm.exportDisk': ['disk', 'path', 'format', 'compress'],
  'vm.migrate': ['to'],
  'vm.createSnapshot': ['name', 'description'],
  'vm.switchToSnapshot': ['snapshot'],
  'vm.deleteSnapshot': ['snapshot'],
  'vm.sendKeys': ['keys'],
  'guest.exec': ['command', 'options'],
  'guest.readFile': ['path', 'start', 'end'],
  'guest.writeFile': ['path', 'mode', 'append'],
  'guest.readdir': ['path'],
  'guest.stat': ['path', 'followLinks'],
  'guest.mkdir': ['path', 'recursive', 'mode'],
  'guest.rm': ['path', 'recursive', 'force'],
  'guest.rename': ['from', 'to'],
  'guest.copyIn': ['from', 'to', 'owner'],
  'guest.copyOut': ['from', 'to'],
  'guest.waitForPort': ['port', 'host'],
  'native.qmp': ['command', 'arguments'],
} as const satisfies { readonly [O in OperationWithInput]: readonly InputName<O>[] }

/** A part of an input; a list must be whole. */
export type InputPart<T> = T extends string | boolean | readonly unknown[] ? T : Partial<T>

/** An operation and a part of its input. */
export type FaultInput = {
  readonly [O in OperationWithInput]: {
    /** The operation that is called. */
    readonly operation: O
    /** The input of the call, or a part of it: `{ mode: 'kill' }` of `'vm.stop'`. */
    readonly input: {
      readonly [K in InputName<O>]?: InputPart<DriverOperationTypes[O]['input'][K]>
    }
  }
}[OperationWithInput]

const hasInput = (operation: unknown): operation is OperationWithInput =>
  typeof operation === 'string' && Object.hasOwn(inputNames, operation)

/** Throws if the operation has no input of such a name. */
export function requireInput(operation: string | undefined, input: object, path: string): void {
  if (!hasInput(operation)) {
    throw new InvalidArgumentError({
      path,
      reason: `${path} is given${operation === undefined ? ' without an operation' : `, and ${operation} takes no input`}`,
      hint: `Operations with an input are ${Object.keys(inputNames).join(', ')}.`,
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
