import * as v from 'valibot'
import type { ServeOptions } from '../connect.js'
import type { Fault } from '../drivers/simulated/fault.js'
import { durationSchema } from '../drivers/simulated/fault-schema.js'
import type { Latency } from '../drivers/simulated/latency.js'
import { simulatedOperations } from '../drivers/simulated/simulated-operation.js'
import { InvalidArgumentError } from '../errors.js'
import { object, optional } from '../model/schema.js'
import { validate } from '../errors/validate.js'
import type { VmConfig } from '../model/vm-config.js'
import { vmSpecSchema, type VmSpec } from '../model/vm-spec.js'
import { features, isDriverOperation, operationCodes, type Capability } from '../operations.js'

const settledStates = ['stopped', 'running', 'paused', 'suspended', 'crashed'] as const

/** A VM that the host has from the start. */
export interface SimulatedVmSpec extends VmSpec {
  /** Its state at the start; `'stopped'` if absent. */
  readonly state?: (typeof settledStates)[number] | undefined
}

/** What a simulated host is like, and the options of its first connection. */
export interface SimulatedServerOptions extends ServeOptions {
  /** The VMs from the start: a number of them, named `vm-1`, `vm-2`, ..., or a spec of each. None if absent. */
  readonly vms?: number | readonly SimulatedVmSpec[] | undefined
  /** Determines all that is random: ids, latencies, and the calls that a fault meets. 1 if absent. */
  readonly seed?: number | undefined
  /**
   * `'virtual'`, the default: time begins at `now`, and stands still until the test moves it. `'real'`: the time of this machine,
   * or of fake timers.
   */
  readonly clock?: 'virtual' | 'real' | undefined
  /** The start of virtual time; 2026-01-01T00:00:00Z if absent. */
  readonly now?: Date | undefined
  /** Milliseconds that operations take. 0, the default: they take no time. */
  readonly latency?: Latency | undefined
  /** What goes wrong, and with which calls; `simulated.faults` adds more. Nothing if absent. */
  readonly faults?: readonly Fault[] | undefined
  /** The operations and features that the host does not offer: `server.capabilities` does not have them. None if absent. */
  readonly without?: readonly Capability[] | undefined
  /**
   * `'local'`, the default: images and kernels must be on this machine, as for a host that is this machine. `'assumed'`: any
   * absolute path is taken to exist.
   */
  readonly files?: 'local' | 'assumed' | undefined
  /** `true`, the default: an agent answers in each guest. `false`: in none. A function decides it for each VM. */
  readonly agent?: boolean | ((config: VmConfig) => boolean) | undefined
  /** The number of calls that `simulated.calls` keeps, from 0 to 10,000,000; 10,000 if absent. */
  readonly maxCalls?: number | undefined
}

/** The options, checked and complete. */
export interface CheckedOptions {
  readonly vms: number | readonly SimulatedVmSpec[]
  readonly seed: number
  readonly clock: 'virtual' | 'real'
  readonly now: Date
  readonly latency: Latency
  readonly faults: readonly unknown[]
  readonly without: ReadonlySet<Capability>
  readonly files: 'local' | 'assumed'
  readonly hasAgent: (config: VmConfig) => boolean
  readonly maxCalls: number
  readonly serve: ServeOptions
}

const usualStart = new Date('2026-01-01T00:00:00Z')
const maxVms = 1_000_000
const leftOut = [...operationCodes.filter(isDriverOperation), ...features]

const whole = (maximum: number): v.GenericSchema<number> => {
  const message = `must be a whole number from 0 to ${String(maximum)}`
  return v.pipe(
    v.number(message),
    v.check((value) => Number.isInteger(value) && value >= 0 && value <= maximum, message),
  )
}
const list = (message: string): v.GenericSchema<unknown[]> => v.array(v.unknown(), message)
const latencySchema = object(
  Object.fromEntries(simulatedOperations.map((operation) => [operation, optional(durationSchema)])),
)

const optionsSchema = object({
  vms: optional(
    v.union([whole(maxVms), list('')], `must be how many, at most ${String(maxVms)}, or an array of specs`),
  ),
  seed: optional(whole(Number.MAX_SAFE_INTEGER)),
  clock: optional(v.picklist(['virtual', 'real'], 'must be "virtual" or "real"')),
  now: optional(v.date('must be a valid Date')),
  latency: optional(v.unknown()),
  faults: optional(list('must be an array of faults')),
  without: optional(v.array(v.picklist(leftOut, 'must be an operation or a feature'), 'must be an array')),
  files: optional(v.picklist(['local', 'assumed'], 'must be "local" or "assumed"')),
  agent: optional(
    v.custom<boolean | ((config: VmConfig) => boolean)>(
      (agent) => typeof agent === 'boolean' || typeof agent === 'function',
      'must be true, false, or a function',
    ),
  ),
  maxCalls: optional(whole(10_000_000)),
  // The connection checks these.
  maxConcurrentOperations: optional(v.unknown()),
  onUnobservedFailure: optional(v.unknown()),
})

/** Throws an {@link InvalidArgumentError} that names what is wrong. */
export function checkOptions(options: SimulatedServerOptions): CheckedOptions {
  const {
    vms = 0,
    seed = 1,
    clock = 'virtual',
    now = usualStart,
    latency = 0,
    faults = [],
    without = [],
    files = 'local',
    agent = true,
    maxCalls = 10_000,
  } = valid(optionsSchema, options, 'options')
  if (clock === 'real' && options.now !== undefined) {
    throw new InvalidArgumentError({
      path: 'options.now',
      reason: 'options.now is for a virtual clock, and options.clock is "real"',
    })
  }
  const { maxConcurrentOperations, onUnobservedFailure } = options
  return {
    vms: typeof vms === 'number' ? vms : vms.map((spec, index) => checkSpec(spec, `options.vms[${String(index)}]`)),
    seed,
    clock,
    now,
    latency: checkLatency(latency),
    faults,
    without: new Set(without),
    files,
    hasAgent: typeof agent === 'function' ? agent : () => agent,
    maxCalls,
    serve: { maxConcurrentOperations, onUnobservedFailure },
  }
}

function checkSpec(spec: unknown, path: string): SimulatedVmSpec {
  if (typeof spec !== 'object' || spec === null || !('state' in spec)) return valid(vmSpecSchema, spec, path)
  const { state, ...rest } = spec
  const stateSchema = optional(v.picklist(settledStates, `must be one of ${settledStates.join(', ')}`))
  return { ...valid(vmSpecSchema, rest, path), state: valid(stateSchema, state, `${path}.state`) }
}

function checkLatency(latency: unknown): Latency {
  const isDuration = typeof latency !== 'object' || Array.isArray(latency)
  return valid<v.GenericSchema<unknown, Latency>>(
    isDuration ? durationSchema : latencySchema,
    latency,
    'options.latency',
  )
}

function valid<S extends v.GenericSchema>(schema: S, value: unknown, path: string): v.InferOutput<S> {
  const result = validate(schema, value, path)
  if (result.isErr()) throw result.error
  return result.value
}
