import 'awaitvm/testing/vitest'
import type { Job, Result, Server, VmError } from 'awaitvm'
import { createSimulatedServer, type Fault, type SimulatedServer } from 'awaitvm/testing'
import { describe, expect, expectTypeOf, test } from 'vitest'

declare const simulated: SimulatedServer
declare const job: Job<number>
declare const result: Result<number, VmError>

test('a simulated server has a Server like any other', () => {
  expectTypeOf(createSimulatedServer).returns.toEqualTypeOf<SimulatedServer>()
  expectTypeOf(simulated.server).toEqualTypeOf<Server>()
  expectTypeOf(simulated.intercept).returns.toEqualTypeOf<Disposable>()
  createSimulatedServer({ vms: 3 })
  createSimulatedServer({ vms: [{ name: 'a', state: 'running' }], latency: { 'vm.start': [1, 2] } })
  // @ts-expect-error no VM is there in a transient state
  createSimulatedServer({ vms: [{ name: 'a', state: 'starting' }] })
  // @ts-expect-error there is no such operation
  createSimulatedServer({ latency: { 'vm.begin': 5 } })
})

test('a fault has what belongs to its kind', () => {
  expectTypeOf<{ kind: 'slow'; latency: number; steps: number }>().toExtend<Fault>()
  expectTypeOf<{ kind: 'slow' }>().not.toExtend<Fault>()
  expectTypeOf<{ kind: 'error' }>().not.toExtend<Fault>()
  // @ts-expect-error a hang has no latency
  simulated.faults.add({ kind: 'hang', latency: 5 })
  // @ts-expect-error there is no such operation
  simulated.faults.add({ kind: 'hang', operation: 'vm.begin' })
})

describe('the matchers', () => {
  test('must be awaited for a job, and need not be for a Result', () => {
    expectTypeOf(expect(job).toBeOk()).toEqualTypeOf<Promise<void>>()
    expectTypeOf(() => expect(result).toBeOk(5)).returns.toEqualTypeOf<void>()
    expectTypeOf(expect(Promise.resolve(result)).toBeOk()).toEqualTypeOf<Promise<void>>()
    expectTypeOf(expect(job.ref).toBeOk()).toEqualTypeOf<Promise<void>>()
    expectTypeOf(expect(job).toFailWith('TIMEOUT')).toEqualTypeOf<Promise<void>>()
    expectTypeOf(() => expect(result).not.toFailWith('TIMEOUT')).returns.toEqualTypeOf<void>()
  })

  test('know the codes, the properties of the errors, and the operations', () => {
    expect(result).toFailWith('INVALID_STATE', { state: 'stopped' })
    // @ts-expect-error there is no such code
    expect(result).toFailWith('TOO_LATE')
    // @ts-expect-error a timeout has no state
    expect(result).toFailWith('TIMEOUT', { state: 'stopped' })
    expect(simulated).toHaveCalled('vm.start', { vm: 'web-1', times: 2, outcome: 'RESOURCE_BUSY' })
    // @ts-expect-error there is no such operation
    expect(simulated).toHaveCalled('vm.begin')
  })
})

test('the input of a fault is that of its operation', () => {
  const kill: Fault = { operation: 'vm.stop', input: { mode: 'kill' }, kind: 'hang' }
  const edit: Fault = { operation: 'vm.edit', input: { changes: { cpus: 2 } }, kind: 'hang' }
  // @ts-expect-error no such mode
  const wrong: Fault = { operation: 'vm.stop', input: { mode: 'gently' }, kind: 'hang' }
  // @ts-expect-error a start is given nothing
  const start: Fault = { operation: 'vm.start', input: { mode: 'kill' }, kind: 'hang' }
  expectTypeOf([kill, edit, wrong, start]).items.toEqualTypeOf<Fault>()
})
