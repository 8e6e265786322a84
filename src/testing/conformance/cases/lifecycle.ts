import { expect } from 'vitest'
import type { Cases } from '../case.js'
import { patience } from '../deadline.js'

export const lifecycle: Cases = ({ host, promises }) => {
  promises('a VM that was started runs its guest', ['vm.start', 'guest'], async (trial) => {
    const vm = await trial.createVm()
    await vm.start().unwrap()
    await trial.expectState(vm, 'running')
    const guest = trial.talkTo(vm)
    await guest.untilReady()
    expect(await guest.count()).toBe(1)
  })

  promises('a kill stops a VM at once, even if its guest ignores everything', ['vm.stop', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await guest.ignorePowerButton()
    await vm.stop({ mode: 'kill' }).unwrap()
    await trial.expectState(vm, 'stopped')
    await guest.untilGone()
    expect(await guest.hasShutDown()).toBe(false)
  })

  promises(
    'a VM can be started and stopped repeatedly, each time with a fresh guest',
    ['vm.start', 'vm.stop', 'guest'],
    async (trial) => {
      const vm = await trial.createVm()
      for (let times = 0; times < 3; times += 1) {
        const { guest } = await trial.startVm(vm)
        expect(await guest.count()).toBe(1)
        await vm.stop({ mode: times === 1 ? 'kill' : 'shutdown' }).unwrap()
        await trial.expectState(vm, 'stopped')
      }
    },
  )

  promises('a paused VM continues when it is resumed', ['vm.pause', 'vm.resume', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    const counted = await guest.count()
    await vm.pause().unwrap()
    await trial.expectState(vm, 'paused')
    await vm.resume().unwrap()
    await trial.expectState(vm, 'running')
    expect(await guest.count()).toBe(counted + 1)
  })

  promises('a reset boots a fresh guest without shutting the old one down', ['vm.reset', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await guest.ignorePowerButton()
    await vm.reset().unwrap()
    await trial.expectState(vm, 'running')
    await guest.untilReady()
    expect(await guest.count()).toBe(1)
    expect(await guest.hasShutDown()).toBe(false)
  })

  promises('a reset of a paused VM boots a fresh guest', ['vm.reset', 'vm.pause', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await guest.count()
    await vm.pause().unwrap()
    await vm.reset().unwrap()
    await trial.expectState(vm, 'running')
    await guest.untilReady()
    expect(await guest.count()).toBe(1)
  })

  promises('a restart shuts the guest down, and boots a fresh one', ['vm.restart', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    await guest.count()
    await vm.restart().unwrap()
    await trial.expectState(vm, 'running')
    const fresh = trial.talkTo(vm)
    await fresh.untilReady()
    expect(await fresh.count()).toBe(1)
    expect(await guest.hasShutDown()).toBe(true)
  })

  promises(
    'the content of a disk stays over stop, kill, reset and start',
    ['vm.start', 'vm.stop', 'vm.reset', 'guest'],
    async (trial) => {
      const { vm, guest } = await trial.runningVmWithDisk()
      expect(await guest.readDisk()).toBe(0)
      await guest.writeDisk(0x11)
      await vm.stop().unwrap()
      const second = await trial.startVm(vm)
      expect(await second.guest.readDisk()).toBe(0x11)
      await second.guest.writeDisk(0x22)
      await vm.stop({ mode: 'kill' }).unwrap()
      const third = await trial.startVm(vm)
      expect(await third.guest.readDisk()).toBe(0x22)
      await vm.reset().unwrap()
      await third.guest.untilReady()
      expect(await third.guest.readDisk()).toBe(0x22)
    },
  )

  promises('a guest that turns its power off leaves the VM stopped', ['vm.waitForState', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    const events = trial.events({ vmId: vm.id })
    const reason = host.untold.includes('reason') ? undefined : 'guest'
    await guest.powerOff()
    expect(await vm.waitForState('stopped', patience).unwrap()).toBe('stopped')
    await trial.expectState(vm, 'stopped')
    await events.until((event) => event.type === 'state' && event.state === 'stopped' && event.reason === reason)
    await trial.startVm(vm)
    await trial.expectState(vm, 'running')
  })

  promises('a guest that restarts itself stays running', ['vm.start', 'guest'], async (trial) => {
    const { vm, guest } = await trial.runningVm()
    const events = trial.events({ vmId: vm.id })
    await guest.count()
    await guest.reboot()
    await guest.untilReady()
    expect(await guest.count()).toBe(1)
    await trial.expectState(vm, 'running')
    await events.close()
    expect(events.states).not.toContain('stopped')
    expect(events.states).not.toContain('crashed')
  })

  promises(
    'waitForState ends when the VM reaches the state, at once if it has it already',
    ['vm.waitForState', 'vm.start'],
    async (trial) => {
      const vm = await trial.createVm()
      expect(await vm.waitForState(['paused', 'stopped']).unwrap()).toBe('stopped')
      const waiting = vm.waitForState(['running', 'crashed'])
      expect(waiting.status).toBe('running')
      await vm.start().unwrap()
      expect(await waiting.unwrap()).toBe('running')
    },
  )
}
