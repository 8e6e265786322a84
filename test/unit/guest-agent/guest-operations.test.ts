import type { VmError } from 'awaitvm'
import { createJob } from 'awaitvm/testing'
import { expect, test, vi } from 'vitest'
import type { Agent } from '../../../src/guest-agent/agent.js'
import { AgentAbsentError, AgentCommandError } from '../../../src/guest-agent/agent-errors.js'
import { GuestOperations } from '../../../src/guest-agent/guest-operations.js'

type Execute = Agent['execute']

/** The operations of a host that passes commands to the agent in its own way. */
function hostOf(execute: Execute) {
  let isClosed = false
  const guest = new GuestOperations({
    use: (vm, _task, action) =>
      action({
        vm,
        driver: 'other',
        turn: (use) => use({ execute, requireAnswer: () => Promise.resolve() }),
        clients: { own: 'client', hasEnded: () => false },
        look: () => Promise.resolve('running'),
      }),
    close: () => {
      isClosed = true
      return Promise.resolve()
    },
  })
  return { guest, isClosed: () => isClosed }
}

const addresses = (execute: Execute): Promise<unknown> =>
  hostOf(execute).guest.operations['guest.getNetworkAddresses']!({ vm: 'vm-1' }, createJob().task)

const failureOf = async (work: Promise<unknown>): Promise<VmError> =>
  work.then(
    () => expect.unreachable('it should fail'),
    (error: unknown) => error as VmError,
  )

test('errors of the agent name the host that reached it', async () => {
  const refused = await failureOf(addresses(() => Promise.reject(new AgentCommandError('GenericError', 'no'))))
  expect(refused.native).toEqual({ driver: 'other', code: 'GenericError', message: 'no' })
  const absent = await failureOf(addresses(() => Promise.reject(new AgentAbsentError())))
  expect(absent).toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: true })
})

test('a close waits three seconds for what is under way, and closes the connections to agents', async () => {
  vi.useFakeTimers()
  try {
    const { guest, isClosed } = hostOf(() => Promise.resolve({}))
    await guest.close(Promise.resolve())
    expect(isClosed()).toBe(true)
    const other = hostOf(() => Promise.resolve({}))
    let end = (): void => {}
    const closed = other.guest.close(new Promise<void>((resolve) => (end = resolve)))
    await vi.advanceTimersByTimeAsync(2900)
    expect(other.isClosed()).toBe(false)
    await vi.advanceTimersByTimeAsync(100)
    expect(other.isClosed()).toBe(true)
    end()
    await closed
  } finally {
    vi.useRealTimers()
  }
})
