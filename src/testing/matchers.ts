import { inspect } from 'node:util'
import type { Result } from 'neverthrow'
import * as v from 'valibot'
import { CallLog, type CallOutcome, type SimulatedCall } from '../drivers/simulated/call-log.js'
import { VmError } from '../errors.js'
import { JobRef } from '../job/job.js'
import { object, optional, text, unchecked } from '../model/schema.js'
import { validate } from '../errors/validate.js'
import { isResult } from '../result.js'
import { SimulatedServer } from './create-simulated-server.js'

/** The result of a matcher. */
interface Verdict {
  readonly pass: boolean
  readonly message: () => string
  readonly actual?: unknown
  readonly expected?: unknown
}

/** What the test runner offers a matcher. */
interface Runner {
  readonly equals: (actual: unknown, expected: unknown) => boolean
}

/** Selects the calls that are expected, and how many. A property that is absent does not matter. */
export interface ExpectedCall {
  /** The VM's name or id. */
  readonly vm?: string | undefined
  /** The exact number of calls; at least one if absent. */
  readonly times?: number | undefined
  /** How the call ended. */
  readonly outcome?: CallOutcome | undefined
  /** The input of the operation, or a part of it. */
  readonly input?: Readonly<Record<string, unknown>> | undefined
}

const expectedCallSchema = object({
  vm: optional(text),
  times: optional(v.number('must be a number')),
  outcome: optional(text),
  input: unchecked<object>(),
} satisfies Record<keyof ExpectedCall, unknown>)

const shown = (value: unknown): string => inspect(value, { depth: 4, breakLength: 100 })

/** Waits for a job or a promise of a Result; then the matcher must be awaited. */
const withResult = (
  received: unknown,
  judge: (result: Result<unknown, unknown>, what: string) => Verdict,
): Verdict | Promise<Verdict> => {
  if (received instanceof JobRef) {
    const { operation, target } = received
    const what = target === undefined ? operation : `${operation} of ${JSON.stringify(target.name)}`
    return received.wait().then((result) => judge(result, what))
  }
  const judgeResult = (value: unknown): Verdict =>
    isResult(value)
      ? judge(value, 'the result')
      : { pass: false, message: () => `expected a Result or a job, and received ${shown(value)}` }
  return isPromiseLike(received) ? Promise.resolve(received).then(judgeResult) : judgeResult(received)
}

const isPromiseLike = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function'

/** The error of a batch, or of a Result of the user's own, may be of any type. */
const failure = (error: unknown): string =>
  error instanceof VmError ? `failed with ${error.code}: ${error.message}` : `failed with ${shown(error)}`

export function toBeOk(this: Runner, received: unknown, ...expected: readonly unknown[]): Verdict | Promise<Verdict> {
  return withResult(received, (result, what) => {
    if (result.isErr()) {
      const { error } = result
      return { pass: false, message: () => `expected ${what} to be ok, and it ${failure(error)}` }
    }
    if (expected.length === 0) return { pass: true, message: () => `expected ${what} not to be ok, and it is` }
    const [wanted] = expected
    const pass = this.equals(result.value, wanted)
    const message = (): string => `expected ${what}${pass ? ' not' : ''} to be ok with this value`
    return { pass, message, actual: result.value, expected: wanted }
  })
}

export function toFailWith(
  this: Runner,
  received: unknown,
  code: string,
  properties: Readonly<Record<string, unknown>> = {},
): Verdict | Promise<Verdict> {
  return withResult(received, (result, what) => {
    if (result.isOk()) {
      return {
        pass: false,
        message: () => `expected ${what} to fail with ${code}, and it succeeded with ${shown(result.value)}`,
      }
    }
    const { error } = result
    if (!(error instanceof VmError) || error.code !== code) {
      return { pass: false, message: () => `expected ${what} to fail with ${code}, and it ${failure(error)}` }
    }
    const own: Record<string, unknown> = Object.fromEntries(
      Object.keys(properties).map((key) => [key, Reflect.get(error, key)]),
    )
    const pass = this.equals(own, properties)
    const message = (): string => `expected ${what}${pass ? ' not' : ''} to fail with ${code}, and it ${failure(error)}`
    return { pass, message, actual: own, expected: properties }
  })
}

/** The number of calls that a message lists. */
const listedCalls = 10

export function toHaveCalled(this: Runner, received: unknown, operation: string, expected: ExpectedCall = {}): Verdict {
  const calls = received instanceof SimulatedServer ? received.calls : received
  if (!(calls instanceof CallLog)) {
    return { pass: false, message: () => `expected a simulated server or its calls, and received ${shown(received)}` }
  }
  // Negated, an expectation with a misspelt property would always pass.
  const valid = validate(expectedCallSchema, expected, 'expected')
  if (valid.isErr()) throw valid.error
  const { times } = expected
  const count = [...calls].filter((call) => isMeant(call, operation, expected, this.equals)).length
  const pass = times === undefined ? count > 0 : count === times
  const wanted = times === undefined ? 'at least once' : times === 1 ? 'once' : `${String(times)} times`
  const which = describeCall(operation, expected)
  const message = (): string =>
    `expected ${which} ${pass ? 'not ' : ''}to have been called ${wanted}, and it was called ${String(count)} times.\n${describeLog(calls)}`
  return { pass, message }
}

const isMeant = (
  call: SimulatedCall,
  operation: string,
  { vm, outcome, input }: ExpectedCall,
  equals: Runner['equals'],
): boolean =>
  call.operation === operation &&
  (vm === undefined || call.vm === vm || call.vmId === vm) &&
  (outcome === undefined || call.outcome === outcome) &&
  (input === undefined || Object.entries(input).every(([key, value]) => equals(call.input[key], value)))

function describeCall(operation: string, { vm, outcome, input }: ExpectedCall): string {
  const on = vm === undefined ? '' : ` of ${JSON.stringify(vm)}`
  const given = input === undefined ? '' : ` with ${shown(input)}`
  return `${operation}${on}${given}${outcome === undefined ? '' : ` that ended with ${outcome}`}`
}

function describeLog(calls: CallLog): string {
  const lines = [...calls].slice(-listedCalls).map(({ operation, vm, outcome, input }) => {
    const given = Object.keys(input).length === 0 ? '' : ` ${shown(input)}`
    return `  ${operation}${vm === undefined ? '' : ` of ${JSON.stringify(vm)}`}${given}: ${outcome}`
  })
  const earlier = calls.length - lines.length
  return [
    calls.length === 0 ? 'No call was made.' : 'The calls were:',
    ...(earlier > 0 ? [`  ${String(earlier)} earlier ones, and then`] : []),
    ...lines,
    ...(calls.dropped > 0 ? [`${String(calls.dropped)} older ones are not kept: raise maxCalls.`] : []),
  ].join('\n')
}
