import { expect, vi } from 'vitest'
import type { Job } from '../../../job/job.js'
import type { JobOptions } from '../../../job/job-options.js'
import type { OperationCode } from '../../../operations.js'
import type { Vm } from '../../../vm.js'
import { patience, soon } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import { listeningPort } from '../guest.js'
import type { Cases } from '../case.js'

/** Cancels a wait once it can be cancelled. */
async function cancelledWait(waiting: Job<unknown>): Promise<void> {
  await vi.waitFor(() => expect(waiting.isCancelable).toBe(true), soon)
  await waiting.cancel().unwrap()
  await failureOf(waiting, 'JOB_CANCELLED')
}

const waits: readonly {
  readonly operation: OperationCode
  readonly wait: (vm: Vm, options?: JobOptions) => Job<unknown>
}[] = [
  { operation: 'guest.waitUntilReady', wait: (vm, options) => vm.guest.waitUntilReady(options) },
  { operation: 'guest.waitForPort', wait: (vm, options) => vm.guest.waitForPort(22, options) },
]

export const guestReady: Cases = ({ promises, promisesInGuest }) => {
  promises(
    'a guest that boots is ready once it answers, and stays so',
    ['guest.waitUntilReady', 'guest.exec', 'agent'],
    async (trial) => {
      const vm = await trial.bootVmWithAgent()
      await vm.guest.waitUntilReady(patience).unwrap()
      expect((await vm.guest.exec(['echo', 'ready']).unwrap()).stdout).toBe('ready\n')
      await vm.guest.waitUntilReady(patience).unwrap()
    },
  )

  promises(
    "a VM that is started until: 'ready' has a guest that one can work in",
    ['vm.start', 'guest.waitUntilReady', 'guest.exec', 'agent'],
    async (trial) => {
      const vm = await trial.bootVmWithAgent({ until: 'ready', ...patience })
      expect((await vm.guest.exec(['echo', 'ready']).unwrap()).stdout).toBe('ready\n')
    },
  )

  promises(
    "a start until: 'ready' that is given up leaves the VM running, and its error tells so",
    ['vm.start', 'guest.waitUntilReady'],
    async (trial) => {
      const vm = await trial.createVm(trial.host.specWithoutAgent ?? trial.profile.spec)
      const starting = vm.start({ until: 'ready' })
      await vm.waitForState('running').unwrap()
      await starting.cancel().unwrap()
      const error = await failureOf(starting, 'JOB_CANCELLED')
      expect(error.hint).toContain('was started')
      await trial.expectState(vm, 'running')
    },
  )

  for (const { operation, wait } of waits) {
    promises(
      `${operation} of a guest that never answers keeps its time, and can be cancelled`,
      [operation, 'vm.start'],
      async (trial) => {
        const vm = await trial.createVm(trial.host.specWithoutAgent ?? trial.profile.spec)
        await vm.start().unwrap()
        const error = await failureOf(wait(vm, { timeoutMs: 300 }), 'TIMEOUT')
        expect(error.hint).toBeTruthy()
        await cancelledWait(wait(vm))
        await trial.expectState(vm, 'running')
      },
    )
  }

  promises(
    'a wait for a guest whose VM is killed ends',
    ['guest.waitUntilReady', 'vm.start', 'vm.stop'],
    async (trial) => {
      const vm = await trial.createVm(trial.host.specWithoutAgent ?? trial.profile.spec)
      await vm.start().unwrap()
      const waiting = vm.guest.waitUntilReady()
      await vm.stop({ mode: 'kill' }).unwrap()
      await failureOf(waiting, 'INVALID_STATE', 'GUEST_UNAVAILABLE', 'OUTCOME_UNKNOWN')
    },
  )

  promisesInGuest('a guest tells of itself', ['guest.getInfo'], async (vm) => {
    const { system, hostName, users, time } = await vm.guest.getInfo().unwrap()
    expect(system).toBe('Linux')
    expect(hostName).toMatch(/\S/)
    expect(users).toEqual([...new Set(users)])
    expect(Number.isNaN(time.getTime())).toBe(false)
  })

  promisesInGuest('a port that nobody listens at is waited for', ['guest.waitForPort'], async (vm) => {
    // The port of "discard", which no guest of a test has.
    await failureOf(vm.guest.waitForPort(9, { timeoutMs: 1000 }), 'TIMEOUT')
    await cancelledWait(vm.guest.waitForPort(9))
  })

  promisesInGuest(
    'a wait for a port ends once a program listens at it',
    ['guest.waitForPort', 'guest.exec'],
    async (vm, trial) => {
      const program = trial.listenProgram
      const waiting = vm.guest.waitForPort(listeningPort, patience)
      expect(waiting.status).toBe('running')
      const listening = vm.guest.exec(program)
      await waiting.unwrap()
      await listening.cancel().unwrap()
    },
  )
}
