import { expect } from 'vitest'
import type { Server } from '../../../server.js'
import type { VmError } from '../../../errors.js'
import type { Result } from '../../../result.js'
import { connect } from '../../../connect.js'
import { within } from '../deadline.js'
import { EventLog } from '../event-log.js'
import { failureOf } from '../expect-failure.js'
import { vmCalls, vmOperations } from '../calls.js'
import type { Cases } from '../case.js'

/** Operations whose effect on a VM can be seen. */
const changes = [
  'vm.start',
  'vm.stop',
  'vm.restart',
  'vm.pause',
  'vm.suspend',
  'vm.reset',
  'vm.createSnapshot',
  'vm.clone',
] as const

/** The one answer of every host to work that a close interrupts. */
function expectClosed(error: VmError, codes: readonly VmError['code'][]): void {
  expect(codes).toContain(error.code)
  expect(error).toMatchObject({ reason: 'the server was closed', retryable: false })
  expect(error.hint).toBeTruthy()
}

export const close: Cases = ({ host, promises }) => {
  promises('closing a server twice does no harm', ['server.close'], async ({ server }) => {
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
    'a close settles all jobs that are under way, and ends events and consoles',
    ['server.close', 'vm.stop', 'vm.start', 'guest'],
    async (trial) => {
      const { server } = trial
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      const second = await trial.createVm()
      const log = new EventLog(server.events())
      const changing = [vm.stop(), second.start(), server.createVm({ ...trial.profile.spec, name: 'late' })]
      const asking = [vm.waitForState('paused'), server.getVmList()]
      await within(server.close().unwrap(), () => 'the close')
      for (const job of [...changing, ...asking]) expect(job.status).not.toBe('running')
      for (const job of changing) {
        const result: Result<unknown, VmError> = await job
        if (result.isErr()) expectClosed(result.error, ['CONNECTION_FAILED', 'OUTCOME_UNKNOWN'])
      }
      for (const job of asking) {
        const result: Result<unknown, VmError> = await job
        if (result.isErr()) expectClosed(result.error, ['CONNECTION_FAILED'])
      }
      await within(log.ended, () => 'the end of the events')
      await guest.untilGone()
    },
  )

  promises(
    'a query that the close interrupts ends with CONNECTION_FAILED, since it changes nothing',
    ['server.close', 'vm.start', 'guest'],
    async (trial) => {
      const { server } = trial
      const { vm } = await trial.runningVm()
      const queries = [server.getVmList(), server.getVm(vm.id), server.getInfo(), vm.getState()]
      await within(server.close().unwrap(), () => 'the close')
      for (const query of queries) {
        const result: Result<unknown, VmError> = await query
        if (result.isErr()) expectClosed(result.error, ['CONNECTION_FAILED'])
      }
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

  promises(
    'a shutdown that the guest has noticed ends with OUTCOME_UNKNOWN when the connection is closed',
    ['server.close', 'vm.stop', 'vm.start', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      const refused = await guest.refusePowerButton()
      const job = vm.stop()
      await refused()
      await trial.server.close().unwrap()
      const error = await failureOf(job, 'OUTCOME_UNKNOWN')
      expect(error.hint).toBeTruthy()
    },
  )

  for (const operation of changes) {
    promises(
      `a ${operation} that has begun when the connection is closed does not end with CONNECTION_FAILED`,
      ['server.close', 'vm.start', operation, 'guest'],
      async (trial) => {
        const vm = await trial.createVm(trial.profile.specWithDisk)
        if (operation !== 'vm.start') await trial.startVm(vm)
        const log = trial.events({ vmId: vm.id, types: ['state'] })
        const call = vmCalls[operation](vm, trial)
        const hasBegun = await Promise.race([
          log
            .until(() => true)
            .then(
              () => true,
              () => false,
            ),
          call.then(() => false),
        ])
        await trial.server.close().unwrap()
        const result = await call
        if (hasBegun && result.isErr()) expect(result.error.code).not.toBe('CONNECTION_FAILED')
      },
    )

    if (!host.keepsVms) continue
    promises(
      `a ${operation} that ends with CONNECTION_FAILED because of a close has changed nothing`,
      ['server.close', 'vm.start', operation, 'guest'],
      async (trial) => {
        const vm = await trial.createVm(trial.profile.specWithDisk)
        const guest = operation === 'vm.start' ? undefined : (await trial.startVm(vm)).guest
        await guest?.count()
        const call = vmCalls[operation](vm, trial)
        const server = await trial.reopen()
        const result = await call
        if (result.isOk() || result.error.code === 'OUTCOME_UNKNOWN') return
        expect(result.error.code).toBe('CONNECTION_FAILED')
        const runsOn = host.onClose === 'runs-on' && guest !== undefined
        const [found, ...others] = await server.getVmList().unwrap()
        expect(others).toEqual([])
        expect(await found!.getState().unwrap()).toBe(runsOn ? 'running' : 'stopped')
        if (runsOn) expect(await trial.talkTo(found!).count()).toBe(2)
        if (server.capabilities.has('vm.getSnapshotTree')) expect(await found!.getSnapshotTree().unwrap()).toEqual([])
      },
    )
  }

  promises('"await using" closes the server at the end of its scope', ['server.close'], async (trial) => {
    let left: Server
    {
      await using server = await connect(trial.server.uri).unwrap()
      left = server
    }
    await failureOf(left.getVmList(), 'CONNECTION_FAILED')
  })

  promises('a close that is not awaited leaves nothing open', ['server.close', 'vm.start', 'guest'], async (trial) => {
    await trial.runningVm()
    void trial.server.close()
  })

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
    'a VM whose creation a close interrupts exists for the next connection if the result says so',
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
