import type { VmErrorCode } from '../../errors.js'
import type { SimulatedOperation } from './simulated-operation.js'

/** One call of an operation by a connection. */
export class SimulatedCall {
  /** The operation that was called. */
  readonly operation: SimulatedOperation
  /** The VM's name at the time of the call; `undefined` for an operation of the host, and for a VM that did not exist. */
  readonly vm: string | undefined
  /** The VM's id; `undefined` for an operation of the host. */
  readonly vmId: string | undefined
  /** The input of the operation, without the VM. */
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

  /** The time of the call, by the host's clock. */
  get at(): Date {
    return new Date(this.#atMs)
  }

  /** How the call ended, or `'pending'`. */
  get outcome(): CallOutcome {
    return this.#outcome
  }

  /** @internal */
  static end(call: SimulatedCall, outcome: CallOutcome): void {
    call.#outcome = outcome
  }

  /** The call as plain data. */
  toJSON(): Record<string, unknown> {
    const { operation, vm, vmId, input, at, outcome } = this
    return { operation, vm, vmId, input, at, outcome }
  }
}

/** `'SUCCESS'`, the code of the error that a call ended with, or `'pending'` while it is under way. */
export type CallOutcome = 'pending' | 'SUCCESS' | VmErrorCode

/** The last calls of all connections, oldest first. Older calls are dropped and counted. */
export class CallLog implements Iterable<SimulatedCall> {
  readonly #capacity: number
  #calls: SimulatedCall[] = []
  /** The index of the oldest call once the log is full. */
  #start = 0
  #dropped = 0

  /** @internal */
  constructor(capacity: number) {
    this.#capacity = capacity
  }

  /** The number of calls in the log. */
  get length(): number {
    return this.#calls.length
  }

  /** The number of older calls that were dropped. The option `maxCalls` sets how many are kept. */
  get dropped(): number {
    return this.#dropped
  }

  /** The call at this index; a negative index counts from the end. */
  at(index: number): SimulatedCall | undefined {
    const { length } = this.#calls
    const position = index < 0 ? length + index : index
    if (position < 0 || position >= length) return undefined
    return this.#calls[(this.#start + position) % length]
  }

  /** All calls in the log, oldest first. */
  *[Symbol.iterator](): Iterator<SimulatedCall, undefined> {
    for (let index = 0; index < this.#calls.length; index += 1) {
      const call = this.at(index)
      if (call !== undefined) yield call
    }
  }

  /** Empties the log, and sets `dropped` to 0. */
  clear(): void {
    this.#calls = []
    this.#start = 0
    this.#dropped = 0
  }

  /** All calls in the log as an array, for `JSON.stringify`. */
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
