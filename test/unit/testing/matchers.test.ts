import 'awaitvm/testing/vitest'
import { err, ok, okAsync, ResourceBusyError, type Vm } from 'awaitvm'
import { createJob, createSimulatedServer, type SimulatedServer } from 'awaitvm/testing'
import { describe, expect, test } from 'vitest'

const busy = new ResourceBusyError({ reason: 'somebody has it', pid: 17 })

/** The message of a failing assertion. */
async function messageOf(assertion: () => unknown): Promise<string> {
  try {
    await assertion()
  } catch (error) {
    return (error as Error).message
  }
  return 'it did not fail'
}

async function simulatedVm(): Promise<{ simulated: SimulatedServer; vm: Vm }> {
  const simulated = createSimulatedServer({ vms: [{ name: 'web-1' }] })
  const vm = await simulated.server.getVm('web-1').unwrap()
  return { simulated, vm }
}

describe('toBeOk', () => {
  test('checks a Result', () => {
    expect(ok(5)).toBeOk()
    expect(ok(5)).toBeOk(5)
    expect(ok({ a: [1], b: 2 })).toBeOk(expect.objectContaining({ a: [1] }))
    expect(ok(undefined)).toBeOk(undefined)
    expect(err(busy)).not.toBeOk()
    expect(ok(5)).not.toBeOk(6)
  })

  test('waits for a promise of a Result', async () => {
    await expect(Promise.resolve(ok(5))).toBeOk(5)
    await expect(createJob<number>().job.cancel().toResultAsync()).toFailWith('JOB_NOT_CANCELABLE')
    await expect(okAsync(5)).toBeOk(5)
    await expect(Promise.resolve(err(busy))).toFailWith('RESOURCE_BUSY', { pid: 17 })
    await expect(Promise.resolve(err(busy))).not.toBeOk()
    expect(await messageOf(() => expect(Promise.resolve(5)).toBeOk())).toBe(
      'expected a Result or a job, and received 5',
    )
    expect(await messageOf(() => expect(err('no luck')).toFailWith('TIMEOUT'))).toContain("failed with 'no luck'")
  })

  test('waits for a job, and for a reference to one', async () => {
    const { vm } = await simulatedVm()
    await expect(vm.start()).toBeOk()
    await expect(vm.getState()).toBeOk('running')
    await expect(vm.getState().ref).toBeOk('running')
    await expect(vm.start()).not.toBeOk()
  })

  test('reports what went wrong', async () => {
    const { vm } = await simulatedVm()
    expect(await messageOf(() => expect(err(busy)).toBeOk())).toBe(
      'expected the result to be ok, and it failed with RESOURCE_BUSY: somebody has it.',
    )
    expect(await messageOf(() => expect(vm.resume()).toBeOk())).toBe(
      'expected vm.resume of "web-1" to be ok, and it failed with INVALID_STATE: Cannot resume VM "web-1": it is stopped. Start it with vm.start().',
    )
    expect(await messageOf(() => expect(ok(5)).toBeOk(6))).toBe('expected the result to be ok with this value')
    expect(await messageOf(() => expect(ok(5)).not.toBeOk())).toBe('expected the result not to be ok, and it is')
    expect(await messageOf(() => expect(ok(5)).not.toBeOk(5))).toBe('expected the result not to be ok with this value')
    expect(await messageOf(() => expect(5).toBeOk())).toBe('expected a Result or a job, and received 5')
  })
})

describe('toFailWith', () => {
  test('checks a Result', () => {
    expect(err(busy)).toFailWith('RESOURCE_BUSY')
    expect(err(busy)).toFailWith('RESOURCE_BUSY', { pid: 17, retryable: true })
    expect(err(busy)).not.toFailWith('RESOURCE_BUSY', { pid: 18 })
    expect(err(busy)).not.toFailWith('TIMEOUT')
    expect(ok(5)).not.toFailWith('TIMEOUT')
  })

  test('waits for a job', async () => {
    const { vm } = await simulatedVm()
    await expect(vm.resume()).toFailWith('INVALID_STATE', { state: 'stopped' })
    const { job, fail } = createJob({ operation: 'vm.start' })
    const waiting = expect(job).toFailWith('RESOURCE_BUSY')
    fail(busy)
    await waiting
  })

  test('reports what happened instead', async () => {
    expect(await messageOf(() => expect(ok({ a: 1 })).toFailWith('TIMEOUT'))).toBe(
      'expected the result to fail with TIMEOUT, and it succeeded with { a: 1 }',
    )
    expect(await messageOf(() => expect(err(busy)).toFailWith('TIMEOUT'))).toContain(
      'expected the result to fail with TIMEOUT, and it failed with RESOURCE_BUSY: ',
    )
    expect(await messageOf(() => expect(err(busy)).toFailWith('RESOURCE_BUSY', { pid: 1 }))).toContain(
      'expected the result to fail with RESOURCE_BUSY, and it failed with RESOURCE_BUSY: ',
    )
    expect(await messageOf(() => expect(err(busy)).not.toFailWith('RESOURCE_BUSY'))).toContain('not to fail with')
  })
})

describe('toHaveCalled', () => {
  test('checks the calls of a server or a log', async () => {
    const { simulated, vm } = await simulatedVm()
    await vm.start()
    await vm.start()
    await vm.stop({ mode: 'kill' })
    expect(simulated).toHaveCalled('vm.start')
    expect(simulated).toHaveCalled('vm.start', { vm: 'web-1', times: 2 })
    expect(simulated.calls).toHaveCalled('vm.start', { vm: vm.id, times: 1, outcome: 'INVALID_STATE' })
    expect(simulated).toHaveCalled('vm.stop', { input: { mode: 'kill' } })
    expect(simulated).not.toHaveCalled('vm.stop', { input: { mode: 'shutdown' } })
    expect(simulated).toHaveCalled('vm.pause', { times: 0 })
    expect(simulated).not.toHaveCalled('vm.pause')
    expect(simulated).not.toHaveCalled('vm.start', { vm: 'web-2' })
  })

  test('reports what was called instead', async () => {
    const { simulated, vm } = await simulatedVm()
    await vm.start()
    await vm.stop({ mode: 'kill' })
    expect(await messageOf(() => expect(simulated).toHaveCalled('vm.start', { vm: 'web-1', times: 2 }))).toBe(
      [
        'expected vm.start of "web-1" to have been called 2 times, and it was called 1 times.',
        'The calls were:',
        `  server.getVm of "web-1" { nameOrId: 'web-1' }: SUCCESS`,
        '  vm.start of "web-1": SUCCESS',
        `  vm.stop of "web-1" { mode: 'kill' }: SUCCESS`,
      ].join('\n'),
    )
    expect(await messageOf(() => expect(simulated).not.toHaveCalled('vm.start'))).toContain(
      'expected vm.start not to have been called at least once',
    )
    simulated.calls.clear()
    expect(await messageOf(() => expect(simulated).toHaveCalled('vm.start', { outcome: 'SUCCESS' }))).toBe(
      'expected vm.start that ended with SUCCESS to have been called at least once, and it was called 0 times.\nNo call was made.',
    )
    expect(await messageOf(() => expect(vm as never).toHaveCalled('vm.start'))).toContain(
      'expected a simulated server or its calls, and received Vm "web-1"',
    )
  })

  test('reports that older calls are not kept', async () => {
    const { server, calls } = createSimulatedServer({ maxCalls: 15 })
    for (let count = 0; count < 20; count += 1) await server.getInfo()
    const message = await messageOf(() => expect(calls).toHaveCalled('server.getInfo', { times: 20 }))
    expect(message).toContain('5 earlier ones')
    expect(message).toContain('5 older ones are not kept: raise maxCalls.')
  })
})
