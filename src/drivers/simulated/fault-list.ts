import type { VmError } from '../../errors.js'
import type { SimulatedOperation } from './simulated-operation.js'
import type { Fault, FaultPlan } from './fault.js'
import { isGiven } from './fault-input.js'
import { requireFault } from './fault-schema.js'
import { Random } from './random.js'

interface ActiveFault {
  readonly fault: Fault
  readonly random: Random
  /** The number of calls that have matched so far. */
  calls: number
}

interface Callee {
  readonly id: string | undefined
  readonly name: string | undefined
}

/** The faults of a simulated host. */
export class FaultList {
  readonly #seed: number
  readonly #faults = new Set<ActiveFault>()
  #added = 0

  /** @internal */
  constructor(seed: number, faults: readonly unknown[], path: string) {
    this.#seed = seed
    for (const [index, fault] of faults.entries()) this.#add(requireFault(fault, `${path}[${String(index)}]`))
  }

  /**
   * Adds a fault for the calls from now on. Returns a function that removes it.
   *
   * @throws InvalidArgumentError that names what is wrong with the fault
   */
  add(fault: Fault): () => void {
    return this.#add(requireFault(fault, 'fault'))
  }

  /** Removes all faults. */
  clear(): void {
    this.#faults.clear()
  }

  /**
   * The faults that this call meets; `undefined` if there are none.
   * @internal
   */
  plan(operation: SimulatedOperation, vm: Callee, input: object): FaultPlan | undefined {
    let plan: FaultPlan | undefined
    for (const active of this.#faults) {
      if (meets(active, operation, vm, input)) include((plan ??= nothingPlanned()), active.fault)
    }
    return plan
  }

  #add(fault: Fault): () => void {
    this.#added += 1
    const active = { fault, random: Random.of(this.#seed, `fault ${String(this.#added)}`), calls: 0 }
    this.#faults.add(active)
    return () => void this.#faults.delete(active)
  }
}

/** Counts the call if it matches the fault. True if the fault meets it. */
function meets(active: ActiveFault, operation: SimulatedOperation, { id, name }: Callee, input: object): boolean {
  const { fault, random } = active
  if (fault.operation !== undefined && fault.operation !== operation) return false
  if (fault.vm !== undefined && fault.vm !== name && fault.vm !== id) return false
  if (fault.input !== undefined && !isGiven(input, fault.input)) return false
  active.calls += 1
  const first = fault.call ?? 1
  const times = fault.times ?? (fault.call === undefined ? Infinity : 1)
  if (active.calls < first || active.calls >= first + times) return false
  return fault.probability === undefined || random.fraction() < fault.probability
}

const nothingPlanned = (): FaultPlan => ({
  interference: [],
  error: undefined,
  isHanging: false,
  slow: undefined,
  refusesCancel: false,
  lost: undefined,
  crash: undefined,
})

/** Adds a fault to the plan. Of two faults of one kind, the first counts. */
function include(plan: FaultPlan, fault: Fault): void {
  switch (fault.kind) {
    case 'error': {
      const { error } = fault
      plan.error ??= typeof error === 'function' ? error : (): VmError => error
      break
    }
    case 'hang':
      plan.isHanging = true
      break
    case 'lostConnection':
      plan.lost ??= fault
      break
    case 'slow':
      plan.slow ??= fault
      break
    case 'refuseCancel':
      plan.refusesCancel = true
      break
    case 'interference':
      plan.interference.push(fault.change)
      break
    case 'crash':
      plan.crash ??= fault
  }
}
