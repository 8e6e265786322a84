import type { Result, Server, VmError } from 'awaitvm'
import { connect } from 'awaitvm'
import { expect } from 'vitest'
import { within } from '../../support/deadline.js'
import { EventLog } from '../../support/event-log.js'
import { failureOf } from '../../support/expect-failure.js'
import { vmCalls, vmOperations } from '../calls.js'
import type { Cases } from '../suite.js'

export const close: Cases = ({ host, promises }) => {
  promises('closing twice is closing once', ['server.close'], async ({ server }) => {
    const [first, second] = [server.close(), server.close()]
    await first.unwrap()
    await second.unwrap()
    await server.close().unwrap()
    await server[Symbol.asyncDispose]()
  })

  promises('every call after the close ends with CONNECTION_FAILED', ['server.close'], async (trial) => {
    const vm = await trial.createVm()
    const { server } = trial
    await server.close().unwrap()
    const calls = [
      server.getVmList(),
      server.getVm(vm.name),
      server.createVm({ name: 'late' }),
      server.getJobs(),
      vm.waitForState('running'),
    ]
    for (const call of calls) {
      const error = await failureOf<'CONNECTION_FAILED'>(call, 'CONNECTION_FAILED')
      expect(error.retryable).toBe(false)
      expect(error.hint).toBeTruthy()
    }
    for (const operation of vmOperations.filter((code) => server.capabilities.has(code))) {
      await failureOf(vmCalls[operation](vm, trial), 'CONNECTION_FAILED')
    }
  })

  promises(
    'a close settles everything that is under way, and ends events and what listens to the guest',
    ['server.close', 'vm.stop', 'vm.start', 'guest'],
    async (trial) => {
      const { server } = trial
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      const second = await trial.createVm()
      const log = new EventLog(server.events())
      const under = [
        vm.stop(),
        second.start(),
        vm.waitForState('paused'),
        server.getVmList(),
        server.createVm({ ...trial.profile.spec, name: 'meanwhile' }),
      ]
      await within(server.close().unwrap(), () => 'the close')
      for (const job of under) {
        expect(job.status).not.toBe('running')
        const result: Result<unknown, VmError> = await job
        if (result.isErr()) {
          expect(['CONNECTION_FAILED', 'OUTCOME_UNKNOWN', 'INVALID_STATE']).toContain(result.error.code)
        }
      }
      await within(log.ended, () => 'the end of the events')
      await guest.untilGone()
    },
  )

  promises(
    'jobs in line end with CONNECTION_FAILED, since nothing was sent',
    ['server.close', 'vm.stop', 'vm.start', 'guest'],
    async (trial) => {
      const second = await trial.createVm()
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      const shutdown = vm.stop()
      const queued = second.start()
      expect(queued.progress.phase).toBe('queued')
      await trial.server.close().unwrap()
      await failureOf(queued, 'CONNECTION_FAILED')
      await shutdown
    },
    { connect: { maxConcurrentOperations: 1 } },
  )

  promises('leaving a scope closes the server', ['server.close'], async (trial) => {
    let left: Server
    {
      await using server = await connect(trial.server.uri).unwrap()
      left = server
    }
    await failureOf(left.getVmList(), 'CONNECTION_FAILED')
  })

  promises(
    'a close that nobody waits for keeps nothing alive',
    ['server.close', 'vm.start', 'guest'],
    async (trial) => {
      await trial.runningVm()
      void trial.server.close()
    },
  )

  if (!host.keepsVms) {
    promises('VMs in memory are gone with the connection', ['server.close'], async (trial) => {
      await trial.createVm()
      const uri = trial.server.uri
      await trial.server.close().unwrap()
      await using server = await connect(uri).unwrap()
      expect(await server.getVmList().unwrap()).toEqual([])
    })
    return
  }

  promises(
    `a VM that runs when the connection is closed ${host.onClose === 'is-killed' ? 'is killed, and its disk kept' : 'runs on'}`,
    ['server.close', 'vm.start', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      await guest.writeDisk(0x2b)
      const counted = await guest.count()
      const server = await trial.reopen()
      const found = await server.getVm(vm.id).unwrap()
      if (host.onClose === 'runs-on') {
        await trial.expectState(found, 'running')
        expect(await trial.talkTo(found).count()).toBe(counted + 1)
      } else {
        await trial.expectState(found, 'stopped')
        const again = await trial.startVm(found)
        expect(await again.guest.readDisk()).toBe(0x2b)
      }
    },
  )

  promises(
    'a creation that the close meets is there for the next connection or not, as it says',
    ['server.close'],
    async (trial) => {
      const creating = trial.server.createVm({ ...trial.profile.spec, name: 'maybe' })
      const server = await trial.reopen()
      const result = await creating
      const list = await server.getVmList().unwrap()
      if (result.isOk()) expect(list.map(({ id }) => id)).toEqual([result.value.id])
      else if (result.error.code !== 'OUTCOME_UNKNOWN') expect(list).toEqual([])
      expect(await server.getVmList().unwrap()).toEqual(list)
    },
  )
}
