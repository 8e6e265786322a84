import { AuthenticationError, connect, ConnectionError } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { expect, test } from 'vitest'
import { collectUntil } from '../../support/garbage-collection.js'
import { failureOf } from '../../../src/testing/conformance/expect-failure.js'

/** Code under test, which does not know that it is tested. */
async function startAll(uri: string): Promise<string[]> {
  await using server = await connect(uri).unwrap()
  const vms = await server.getVmList({ state: 'stopped' }).unwrap()
  for (const vm of vms) await vm.start().unwrap()
  return vms.map(({ name }) => name)
}

test('an interception leads connect of exactly this URI to the host, until it is disposed of', async () => {
  const simulated = createSimulatedServer({ vms: 2 })
  {
    using _interception = simulated.intercept('esx://vcenter')
    expect(await startAll('esx://vcenter')).toEqual(['vm-1', 'vm-2'])
    await failureOf(connect('esx://other'), 'INVALID_ARGUMENT')
    await failureOf(connect('esx://vcenter/'), 'INVALID_ARGUMENT')
  }
  await failureOf(connect('esx://vcenter'), 'INVALID_ARGUMENT')
  expect(simulated.vm('vm-1').state).toBe('running')
})

test('an interception replaces a host that exists, and shows no password', async () => {
  const simulated = createSimulatedServer({ vms: 1 })
  using _interception = simulated.intercept('embedded://user:secret@host/dir')
  await using server = await connect('embedded://user:secret@host/dir').unwrap()
  expect(server.uri).toBe('embedded://user@host/dir')
  expect(simulated.calls.at(0)?.input).toEqual({ uri: 'embedded://user@host/dir' })
  expect(await server.getVmList().unwrap()).toHaveLength(1)
})

test('a second interception of a URI is refused, and so is one of a text that is not a URI', () => {
  const [first, second] = [createSimulatedServer(), createSimulatedServer()]
  {
    using _interception = first.intercept('esx://twice')
    expect(() => second.intercept('esx://twice')).toThrow(expect.objectContaining({ code: 'ALREADY_EXISTS' }))
  }
  using _interception = second.intercept('esx://twice')
  expect(() => first.intercept('no URI')).toThrow(expect.objectContaining({ code: 'INVALID_ARGUMENT', path: 'uri' }))
})

test('an interception ends with the host', async () => {
  const simulated = createSimulatedServer()
  simulated.intercept('esx://gone')
  await simulated[Symbol.asyncDispose]()
  await failureOf(connect('esx://gone'), 'INVALID_ARGUMENT')
})

test('disposing of an interception twice leaves a later one of the same URI alone', async () => {
  const [first, second] = [createSimulatedServer(), createSimulatedServer({ vms: 1 })]
  const early = first.intercept('esx://mine')
  early[Symbol.dispose]()
  using _interception = second.intercept('esx://mine')
  early[Symbol.dispose]()
  await first[Symbol.asyncDispose]()
  expect(await startAll('esx://mine')).toEqual(['vm-1'])
})

test('connecting takes its time, and meets faults', async () => {
  const simulated = createSimulatedServer({
    latency: { connect: 100 },
    faults: [
      { operation: 'connect', call: 1, kind: 'error', error: new AuthenticationError({ reason: 'wrong password' }) },
      { operation: 'connect', call: 2, kind: 'lostConnection', moment: 'before' },
      { operation: 'connect', call: 3, kind: 'hang' },
    ],
  })
  const { uri, clock, calls } = simulated
  await failureOf(connect(uri), 'AUTHENTICATION_FAILED')
  expect(await failureOf(connect(uri), 'CONNECTION_FAILED')).toBeInstanceOf(ConnectionError)
  const hanging = connect(uri)
  await clock.advance(1000)
  await hanging.cancel().unwrap()
  await failureOf(hanging, 'JOB_CANCELLED')
  const job = connect(uri)
  await clock.advance(99)
  expect(job.retCode).toBeUndefined()
  await clock.advance(1)
  await (await job.unwrap()).close().unwrap()
  expect([...calls].map(({ outcome }) => outcome)).toEqual([
    'AUTHENTICATION_FAILED',
    'CONNECTION_FAILED',
    'JOB_CANCELLED',
    'SUCCESS',
  ])
})

test('a host that nothing refers to is garbage collected', async () => {
  const make = async (): Promise<string> => {
    const { server, uri } = createSimulatedServer({ vms: 10 })
    await server.close().unwrap()
    return uri
  }
  const uri = await make()
  const isGone = async (): Promise<boolean> => {
    const result = await connect(uri)
    if (result.isOk()) await result.value.close().unwrap()
    return result.isErr() && result.error.code === 'INVALID_ARGUMENT'
  }
  for (let round = 0; round < 50; round += 1) {
    // A lookup keeps the host until the end of the turn, so one turn must pass without a lookup.
    await collectUntil(() => false, 2)
    if (await isGone()) return
  }
  expect.fail('it is still there')
})
