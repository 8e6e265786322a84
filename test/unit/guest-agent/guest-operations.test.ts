import type { VmError, VmState } from 'awaitvm'
import type { ProgramIo } from 'awaitvm/driver'
import { createJob } from 'awaitvm/testing'
import { expect, test, vi } from 'vitest'
import type { Agent } from '../../../src/guest-agent/agent.js'
import { AgentAbsentError, AgentCommandError, AgentConnectionError } from '../../../src/guest-agent/agent-errors.js'
import { GuestOperations } from '../../../src/guest-agent/guest-operations.js'

type Execute = Agent['execute']

/** The operations of a host that passes commands to the agent in its own way. */
function hostOf(execute: Execute, state: VmState = 'running') {
  let isAbandoned = false
  const guest = new GuestOperations({
    use: (vm, _task, action) =>
      action({
        vm,
        driver: 'other',
        turn: (use) => use({ execute }),
        look: () => Promise.resolve(state),
      }),
    abandon: () => {
      isAbandoned = true
    },
  })
  return { guest, isAbandoned: () => isAbandoned }
}

const nowhere: ProgramIo = { input: undefined, output: () => undefined, begun: () => undefined }

const exec = (execute: Execute, state?: VmState, io = nowhere): Promise<unknown> =>
  hostOf(execute, state).guest.operations['guest.exec']!(
    { vm: 'vm-1', command: ['true'], options: {}, io },
    createJob().task,
  )

const failureOf = async (work: Promise<unknown>): Promise<VmError> =>
  work.then(
    () => expect.unreachable('it should fail'),
    (error: unknown) => error as VmError,
  )

test('a program is run by any host that can pass a command to the agent', async () => {
  const commands: string[] = []
  const printed: string[] = []
  const result = await exec(
    (command) => {
      commands.push(command)
      const answer = command === 'guest-exec' ? { pid: 7 } : { exited: true, exitcode: 3, 'out-data': 'aGk=' }
      return Promise.resolve(answer)
    },
    'running',
    { ...nowhere, output: (stream, bytes) => void printed.push(`${stream}: ${String(Buffer.from(bytes))}`) },
  )
  expect(commands).toEqual(['guest-exec', 'guest-exec-status'])
  expect(result).toMatchObject({ exitCode: 3 })
  expect(printed).toContain('stdout: hi')
})

test('errors of the agent name the host that reached it', async () => {
  const refused = await failureOf(exec(() => Promise.reject(new AgentCommandError('GenericError', 'no'))))
  expect(refused.native).toEqual({ driver: 'other', code: 'GenericError', message: 'no' })
  const absent = await failureOf(
    hostOf(() => Promise.reject(new AgentAbsentError())).guest.operations['guest.getNetworkAddresses']!(
      { vm: 'vm-1' },
      createJob().task,
    ),
  )
  expect(absent).toMatchObject({ code: 'GUEST_UNAVAILABLE', retryable: true })
})

test('the end of a program whose guest is gone is unknown, and the reason says what became of the VM', async () => {
  const lost = await failureOf(exec(() => Promise.reject(new AgentConnectionError('the host hung up')), 'crashed'))
  expect(lost).toMatchObject({ code: 'OUTCOME_UNKNOWN', reason: expect.stringContaining('crashed') })
})

test('a close abandons what has not stopped after three seconds, and nothing that has', async () => {
  vi.useFakeTimers()
  try {
    const { guest, isAbandoned } = hostOf(() => Promise.resolve({}))
    await guest.close(Promise.resolve())
    await vi.advanceTimersByTimeAsync(10_000)
    expect(isAbandoned()).toBe(false)
    let end = (): void => {}
    const closed = guest.close(new Promise<void>((resolve) => (end = resolve)))
    await vi.advanceTimersByTimeAsync(3000)
    expect(isAbandoned()).toBe(true)
    end()
    await closed
  } finally {
    vi.useRealTimers()
  }
})
