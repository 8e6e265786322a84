import { expect } from 'vitest'
import { within } from '../deadline.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'

export const shutdown: Cases = ({ host, promises }) => {
  /** The error of a shutdown that the guest has not noticed, after its timeout. */
  const givenUp = host.withdrawsPowerButton ? 'TIMEOUT' : 'OUTCOME_UNKNOWN'
  /** Longer than a loaded machine needs to press the button. */
  const timeoutMs = host.withdrawsPowerButton ? 300 : 2000

  promises('stop asks the guest, and succeeds once it is off', ['vm.stop', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await vm.stop().unwrap()
    await trial.expectState(vm, 'stopped')
    await guest.untilGone()
    expect(await guest.hasShutDown()).toBe(true)
  })

  promises(
    `a shutdown that the guest ignores ends with ${givenUp} after timeoutMs, and the VM runs on`,
    ['vm.stop', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      const counted = await guest.count()
      await failureOf(vm.stop({ timeoutMs }), givenUp)
      await trial.expectState(vm, 'running')
      expect(await guest.count()).toBe(counted + 1)
    },
  )

  promises(
    'stop with thenKill asks the guest, and tells that it has shut down',
    ['vm.stop', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      expect(await vm.stop({ thenKill: true }).unwrap()).toBe('shutdown')
      await trial.expectState(vm, 'stopped')
      expect(await guest.hasShutDown()).toBe(true)
    },
  )

  promises(
    'stop with thenKill kills a guest that ignores the shutdown, and tells so',
    ['vm.stop', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      expect(await vm.stop({ timeoutMs, thenKill: true }).unwrap()).toBe('kill')
      await trial.expectState(vm, 'stopped')
      await guest.untilGone()
      expect(await guest.hasShutDown()).toBe(false)
    },
  )

  if (host.withdrawsPowerButton) {
    promises('a shutdown that timed out does not take place later', ['vm.stop', 'guest'], async (trial) => {
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      await failureOf(vm.stop({ timeoutMs: 100 }), 'TIMEOUT')
      await vm.reset().unwrap()
      await guest.untilReady()
      expect(await guest.count()).toBe(1)
      await trial.expectState(vm, 'running')
      await vm.stop().unwrap()
    })
  }

  promises(
    'a shutdown that the guest has noticed but not carried out ends with OUTCOME_UNKNOWN after timeoutMs',
    ['vm.stop', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      const refused = await guest.refusePowerButton()
      const error = await failureOf(vm.stop({ timeoutMs: 1500 }), 'OUTCOME_UNKNOWN')
      expect(error.hint).toBeTruthy()
      await refused()
      await trial.expectState(vm, 'running')
    },
  )

  promises(
    'a shutdown that the guest ignores can be cancelled if the host can withdraw it',
    ['vm.stop', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      const job = vm.stop()
      if (host.withdrawsPowerButton) {
        await job.cancel().unwrap()
        await failureOf(job, 'JOB_CANCELLED')
      } else {
        const verdict = await job.cancel()
        // Until the guest is told, the shutdown can be cancelled on every host.
        if (verdict.isOk()) await failureOf(job, 'JOB_CANCELLED')
        else expect(verdict.error.code).toBe('JOB_NOT_CANCELABLE')
      }
      await trial.expectState(vm, 'running')
      await guest.count()
      // The job that goes on ends with the VM, and so does the next one.
      await vm.stop({ mode: 'kill' })
      await job
      await trial.expectState(vm, 'stopped')
    },
  )

  promises(
    "a shutdown that the guest has noticed can't be cancelled, and goes on until the guest is off",
    ['vm.stop', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      const refused = await guest.refusePowerButton()
      const job = vm.stop()
      await refused()
      await failureOf(job.cancel(), 'JOB_NOT_CANCELABLE')
      expect(job.status).toBe('running')
      expect(['running', 'stopping']).toContain(await vm.getState().unwrap())
      await guest.powerOff()
      await job.unwrap()
      await trial.expectState(vm, 'stopped')
    },
  )

  if (host.withdrawsPowerButton) {
    promises('an abort signal ends a shutdown that the guest ignores', ['vm.stop', 'guest'], async (trial) => {
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      const controller = new AbortController()
      const job = vm.stop({ signal: controller.signal })
      controller.abort()
      await failureOf(job, 'JOB_CANCELLED')
      await trial.expectState(vm, 'running')
    })
  }

  promises(
    'a restart that the guest ignores ends after timeoutMs, and the old guest runs on',
    ['vm.restart', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVm()
      await guest.ignorePowerButton()
      const counted = await guest.count()
      await failureOf(vm.restart({ timeoutMs }), givenUp)
      await trial.expectState(vm, 'running')
      expect(await guest.count()).toBe(counted + 1)
    },
  )

  promises('a guest that turns itself off ends a shutdown that it ignored', ['vm.stop', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await guest.ignorePowerButton()
    const job = vm.stop()
    await guest.powerOff()
    await job.unwrap()
    await trial.expectState(vm, 'stopped')
  })

  for (const [title, hasSecond] of [
    ['of the same connection', false],
    ['of another connection', true],
  ] as const) {
    // A clone of a running VM takes long enough to overlap with the shutdown.
    if (host.refusedFrom['vm.clone']?.includes('running') === true || (hasSecond && !host.sharesRunningVms)) continue
    promises(
      `a restart during a clone ${title} boots a fresh guest`,
      ['vm.restart', 'vm.clone', 'guest'],
      async (trial) => {
        const { vm, guest } = await trial.runningVmWithDisk()
        await guest.count()
        const server = hasSecond ? await trial.connectAgain() : trial.server
        const same = await server.getVm(vm.id).unwrap()
        const restarting = vm.restart()
        const cloned = await same.clone({ name: 'copy' })
        if (cloned.isErr()) expect(['INVALID_STATE', 'RESOURCE_BUSY']).toContain(cloned.error.code)
        await restarting.unwrap()
        await trial.expectState(vm, 'running')
        const anew = trial.talkTo(vm)
        await anew.untilReady()
        expect(await anew.count()).toBe(1)
      },
    )
  }

  for (const [title, hasSecond] of [
    ['of the same connection', false],
    ['of another connection', true],
  ] as const) {
    if (hasSecond && !host.sharesRunningVms) continue
    promises(
      `a kill ${title} wins over a restart that waits for the guest: the VM stays stopped`,
      ['vm.restart', 'vm.stop', 'guest'],
      async (trial) => {
        const { vm, guest } = await trial.runningVm()
        const refused = await guest.refusePowerButton()
        const server = hasSecond ? await trial.connectAgain() : trial.server
        const same = await server.getVm(vm.id).unwrap()
        const restarting = vm.restart()
        await refused()
        await same.stop({ mode: 'kill' }).unwrap()
        const error = await failureOf(
          within(restarting, () => 'the end of the restart'),
          'INVALID_STATE',
        )
        expect(error.state).toBe('stopped')
        expect(error.hint).toBeTruthy()
        expect(await vm.getState().unwrap()).toBe('stopped')
      },
    )

    promises(
      `a kill ${title} wins over a restart that timed out`,
      ['vm.restart', 'vm.stop', 'guest'],
      async (trial) => {
        const { vm, guest } = await trial.runningVm()
        const refused = await guest.refusePowerButton()
        const first = trial.server
        const server = hasSecond ? await trial.connectAgain() : first
        const same = await server.getVm(vm.id).unwrap()
        const restarting = vm.restart({ timeoutMs: 2000 })
        await refused()
        await failureOf(restarting, 'OUTCOME_UNKNOWN')
        await same.stop({ mode: 'kill' }).unwrap()
        // The rest of the restart, if any, is done before these edits.
        for (let count = 0; count < 5; count += 1) await vm.edit({ description: String(count) }).unwrap()
        expect(await vm.getState().unwrap()).toBe('stopped')
        if (!host.keepsVms) return
        // A close waits for what is under way.
        await first.close().unwrap()
        const found = await (await trial.connectAgain()).getVm(vm.id).unwrap()
        expect(found.state).toBe('stopped')
      },
    )
  }

  promises('a kill of a stopped VM succeeds and changes nothing, also twice', ['vm.stop'], async (trial) => {
    const vm = await trial.createVm()
    const before = await vm.refresh().unwrap()
    const events = trial.events()
    await vm.stop({ mode: 'kill' }).unwrap()
    await vm.stop({ mode: 'kill' }).unwrap()
    await trial.expectState(vm, 'stopped')
    expect(await vm.refresh().unwrap()).toEqual(before)
    await events.close()
    expect(events.events).toEqual([])
  })

  promises('a kill does not wait for a shutdown that hangs', ['vm.stop', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await guest.ignorePowerButton()
    const shutdownJob = vm.stop()
    await vm.stop({ mode: 'kill' }).unwrap()
    await trial.expectState(vm, 'stopped')
    const result = await shutdownJob
    if (result.isErr()) expect(['INVALID_STATE', 'JOB_CANCELLED', 'RESOURCE_BUSY']).toContain(result.error.code)
  })
}
