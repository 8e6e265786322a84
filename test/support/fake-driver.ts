import type { HostInfo, OperationCode, Snapshot, VmConfig, VmEvent, VmState } from 'awaitvm'
import type { Driver, DriverOperation, DriverOperations, DriverOperationTypes, Task, VmRecord } from 'awaitvm/driver'
import { isDriverOperation, operationCodes, operations, type OperationSpec } from '../../src/operations.js'

/** A call of the driver, which the test ends. */
export interface FakeCall {
  readonly operation: DriverOperation
  readonly input: unknown
  readonly task: Task
  succeed(output?: unknown): void
  fail(error: unknown): void
}

const names = operationCodes.filter(isDriverOperation)

type Answers = {
  [O in DriverOperation]?: (input: DriverOperationTypes[O]['input'], task: Task) => unknown
}

export interface FakeOptions {
  /** The answers that are given at once. Other calls wait for the test. */
  readonly answers?: Answers
  /** The only operations that it offers; all if absent. */
  readonly only?: readonly DriverOperation[]
  readonly features?: Driver['features']
  readonly maxConcurrentOperations?: number
  readonly close?: () => Promise<void>
}

/** A driver that only records its calls. The test ends them. */
export class FakeDriver implements Driver {
  readonly name = 'fake'
  /** True, so that awaitvm adds no queries before the calls of the test. */
  readonly checksStates = true
  readonly features: Driver['features']
  readonly maxConcurrentOperations: number
  readonly operations: DriverOperations
  readonly calls: FakeCall[] = []
  closings = 0
  readonly #listeners = new Set<(event: VmEvent) => void>()
  readonly #close: () => Promise<void>

  constructor(options: FakeOptions = {}) {
    const { answers = {}, only = names, features = new Set(), maxConcurrentOperations = Infinity } = options
    this.features = features
    this.maxConcurrentOperations = maxConcurrentOperations
    this.#close = options.close ?? (() => Promise.resolve())
    this.operations = Object.fromEntries(
      only.map((name) => [name, (input: never, task: Task) => this.#take(name, answers[name] as never, input, task)]),
    )
  }

  get subscribers(): number {
    return this.#listeners.size
  }

  /** The operations that were called, in order. */
  get operationsCalled(): OperationCode[] {
    return this.calls.map(({ operation }) => operation)
  }

  /** The last call. */
  get last(): FakeCall {
    const call = this.calls.at(-1)
    if (call === undefined) throw new Error('the driver was not called')
    return call
  }

  subscribe(listener: (event: VmEvent) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  emit(event: VmEvent): void {
    for (const listener of this.#listeners) listener(event)
  }

  async close(): Promise<void> {
    this.closings += 1
    await this.#close()
  }

  #take(
    operation: DriverOperation,
    answer: ((input: unknown, task: Task) => unknown) | undefined,
    input: unknown,
    task: Task,
  ): Promise<never> {
    return new Promise((resolve, reject) => {
      const succeed = (output: unknown = defaultAnswer(operation)): void => {
        resolve(output as never)
      }
      this.calls.push({ operation, input, task, succeed, fail: reject })
      if (answer !== undefined) succeed(answer(input, task))
    })
  }
}

/** The state that the operation leads to, or nothing. */
function defaultAnswer(operation: DriverOperation): VmState | undefined {
  const { answers, to = 'running' }: OperationSpec = operations[operation]
  return answers === 'state' ? to : undefined
}

export const configOf = (name: string): VmConfig => ({
  name,
  description: '',
  cpus: 1,
  memoryMiB: 32,
  disks: [],
  cdroms: [],
  floppies: [],
  boot: {},
  createdAt: new Date(0),
})

export const recordOf = (name = 'web-1', state: VmState = 'stopped'): VmRecord => ({
  id: `id-of-${name}`,
  state,
  config: configOf(name),
})

export const stateEvent = (state: VmState, name = 'web-1'): VmEvent => ({
  type: 'state',
  vmId: `id-of-${name}`,
  name,
  state,
  previous: undefined,
  at: new Date(0),
})

export const hostInfo: HostInfo = {
  driver: 'fake',
  hostName: 'here',
  hypervisor: 'paper',
  version: '1',
  cpus: 1,
  memoryMiB: 1024,
  freeMemoryMiB: 512,
  guestArchitecture: 'i686',
}

export const snapshot: Snapshot = {
  id: 'snapshot-1',
  name: 'before',
  description: '',
  createdAt: new Date(0),
  parentId: undefined,
  state: 'stopped',
  isCurrent: true,
}
