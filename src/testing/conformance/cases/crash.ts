import { expect } from 'vitest'
import { patience, within } from '../deadline.js'
import type { Cases } from '../case.js'

export const crash: Cases = ({ host, promises }) => {
  const needs = ['vm.start', 'vm.waitForState', 'guest'] as const

  promises(`a guest that crashes leaves the VM ${host.afterCrash}`, needs, async (trial) => {
    const { vm, guest } = await trial.runningVm()
    const log = trial.events({ vmId: vm.id })
    await guest.crash()
    if (host.afterCrash === 'running') {
      await guest.untilReady()
      expect(await guest.count()).toBe(1)
    } else {
      await vm.waitForState(host.afterCrash, patience).unwrap()
    }
    await trial.expectState(vm, host.afterCrash)
    if (host.afterCrash !== 'crashed') return
    expect(log.events.at(-1)).toMatchObject({ type: 'state', state: 'crashed', previous: 'running', reason: 'crash' })
    await guest.untilGone()
  })

  if (host.afterCrash !== 'crashed') return

  promises('a VM that crashed starts again with a fresh guest and its disk', needs, async (trial) => {
    const { vm, guest } = await trial.runningVmWithDisk()
    await guest.writeDisk(0x19)
    await guest.crash()
    await vm.waitForState('crashed', patience).unwrap()
    const again = await trial.startVm(vm)
    await trial.expectState(vm, 'running')
    expect(await again.guest.count()).toBe(1)
    expect(await again.guest.readDisk()).toBe(0x19)
  })

  promises('a crash ends a shutdown that is under way', [...needs, 'vm.stop'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await guest.ignorePowerButton()
    const job = vm.stop()
    await guest.crash()
    const result = await within(job, () => 'the end of the shutdown')
    expect(['stopped', 'crashed']).toContain(await vm.getState().unwrap())
    if (result.isErr()) expect(['INVALID_STATE', 'HOST_ERROR']).toContain(result.error.code)
  })

  promises('a crash of one VM does not affect another', needs, async (trial) => {
    const { vm, guest } = await trial.runningVm()
    const other = await trial.runningVm()
    await guest.crash()
    await vm.waitForState('crashed', patience).unwrap()
    expect(await other.guest.count()).toBe(1)
    await trial.expectState(other.vm, 'running')
  })

  if (!host.keepsVms) return

  promises('a VM that crashed is still crashed for the next connection', needs, async (trial) => {
    const vm = await trial.vmIn('crashed')
    const server = await trial.reopen()
    const found = await server.getVm(vm.id).unwrap()
    await trial.expectState(found, 'crashed')
    await trial.startVm(found)
  })
}
