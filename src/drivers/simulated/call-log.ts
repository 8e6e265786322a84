import type { VmErrorCode } from '../../errors.js'
import type { SimulatedOperation } from './simulated-operation.js'

/** One call of an operation by a connection. */
export class SimulatedCall {
  readonly operation: SimulatedOperation
  /** The name that the VM had then; absent for an operation of the host, and for a VM that was not there. */
  readonly vm: string | undefined
  readonly vmId: string | undefined
  /** What the operation was given, without the VM. */
  readonly input: Readonly<Record<string, unknown>>
  readonly #atMs: number
  #outcome: CallOutcome = 'pending'

  /** @internal */
  constructor(
    operation: SimulatedOperation,
    vm: { readonly id: string | undefined; readonly name: string | undefined },
    input: Readonly<Record<string, unknown>>,
    atMs: number,
  ) {
    this.operation = operation
    this.vm = vm.name
    this.vmId = vm.id
    this.input = input
    this.#atMs = atMs
  }

  /** When it was made, by the host's clock. */
  get at(): Date {
    return new Date(this.#atMs)
  }

  /** `'SUCCESS'`, the code of the error that it ended with, or `'pending'`. */
  get outcome(): CallOutcome {
    return this.#outcome
  }

  /** @internal */
  static end(call: SimulatedCall, outcome: CallOutcome): void {
    call.#outcome = outcome
  }

  toJSON(): Record<string, unknown> {
    const { operation, vm, vmId, input, at, outcome } = this
    return { operation, vm, vmId, input, at, outcome }
  }
}

export type CallOutcome = 'pending' | 'SUCCESS' | VmErrorCode

/** The last calls of all connections, in order; older ones are dropped, and counted. */
export class CallLog implements Iterable<SimulatedCall> {
  readonly #capacity: number
  #calls: SimulatedCall[] = []
  /** Where the oldest one is, once the log is full. */
  #start = 0
  #dropped = 0

  /** @internal */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** How many are kept. */
  get length(): number {
    return this.#calls.length
  }

  /** How many older ones are not kept any more; `maxCalls` says how many are. */
  get dropped(): number {
    return this.#dropped
  }

  /** The call of this number, counted from 0, or from the end where it is negative. */
  at(index: number): SimulatedCall | undefined {
    const { length } = this.#calls
    const position = index < 0 ? length + index : index
    if (position < 0 || position >= length) return undefined
    return this.#calls[(this.#start + position) % length]
  }

  *[Symbol.iterator](): Iterator<SimulatedCall, undefined> {
    for (let index = 0; index < this.#calls.length; index += 1) {
      const call = this.at(index)
      if (call !== undefined) yield call
    }
  }

  clear(): void {
    this.#calls = []
    this.#start = 0
    this.#dropped = 0
  }

  toJSON(): SimulatedCall[] {
    return [...this]
  }

  /** @internal */
  add(call: SimulatedCall): void {
    if (this.#calls.length < this.#capacity) {
      this.#calls.push(call)
      return
    }
    this.#dropped += 1
    if (this.#capacity === 0) return
    this.#calls[this.#start] = call
    this.#start = (this.#start + 1) % this.#capacity
  }
}
