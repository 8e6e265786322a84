import { expect } from 'vitest'
import type { Cases } from '../suite.js'

export const lifecycle: Cases = ({ promises }) => {
  promises('a VM that was started runs its guest', ['vm.start', 'vm.console'], async (trial) => {
    const vm = await trial.createVm()
    await vm.start().unwrap()
    await trial.expectState(vm, 'running')
    const console = trial.console(vm)
    await console.until(trial.guest.readyLine)
    expect(await trial.guest.count(console)).toBe(1)
  })

  promises('a killed VM is off at once, whatever its guest does', ['vm.stop', 'vm.console'], async (trial) => {
    const { vm, console } = await trial.runningVm()
    await trial.guest.ignorePowerButton(console)
    await vm.stop({ mode: 'kill' }).unwrap()
    await trial.expectState(vm, 'stopped')
    await console.untilClosed()
    expect(console.text).not.toContain(trial.guest.poweringOffLine)
  })

  promises(
    'a VM can be started and stopped again and again, each time with a fresh guest',
    ['vm.start', 'vm.stop', 'vm.console'],
    async (trial) => {
      const vm = await trial.createVm()
      for (let times = 0; times < 3; times += 1) {
        const { console } = await trial.startVm(vm)
        expect(await trial.guest.count(console)).toBe(1)
        await vm.stop({ mode: times === 1 ? 'kill' : 'shutdown' }).unwrap()
        await trial.expectState(vm, 'stopped')
      }
    },
  )

  promises(
    'a paused VM does nothing until it is resumed, and goes on where it was',
    ['vm.pause', 'vm.resume', 'vm.console'],
    async (trial) => {
      const { vm, console } = await trial.runningVm()
      const counted = await trial.guest.count(console)
      await vm.pause().unwrap()
      await trial.expectState(vm, 'paused')
      const said = console.text
      const answer = trial.guest.count(console)
      // Enough round trips for a guest that runs to have answered many times over.
      for (let times = 0; times < 50; times += 1) expect(await vm.getState().unwrap()).toBe('paused')
      expect(console.text).toBe(said)
      await vm.resume().unwrap()
      await trial.expectState(vm, 'running')
      expect(await answer).toBe(counted + 1)
    },
  )

  promises('a reset brings a fresh guest without asking the old one', ['vm.reset', 'vm.console'], async (trial) => {
    const { vm, console } = await trial.runningVm()
    await trial.guest.ignorePowerButton(console)
    await vm.reset().unwrap()
    await trial.expectState(vm, 'running')
    await console.until(trial.guest.readyLine)
    expect(await trial.guest.count(console)).toBe(1)
    expect(console.text).not.toContain(trial.guest.poweringOffLine)
  })

  promises('a reset of a paused VM lets a fresh guest run', ['vm.reset', 'vm.pause', 'vm.console'], async (trial) => {
    const { vm, console } = await trial.runningVm()
    await trial.guest.count(console)
    await vm.pause().unwrap()
    await vm.reset().unwrap()
    await trial.expectState(vm, 'running')
    await console.until(trial.guest.readyLine)
    expect(await trial.guest.count(console)).toBe(1)
  })

  promises(
    'a restart asks the guest to go down, and starts a fresh one',
    ['vm.restart', 'vm.console'],
    async (trial) => {
      const { vm, console } = await trial.runningVm()
      await trial.guest.count(console)
      await vm.restart().unwrap()
      await trial.expectState(vm, 'running')
      const fresh = trial.console(vm)
      await fresh.until(trial.guest.readyLine)
      expect(await trial.guest.count(fresh)).toBe(1)
      expect(console.text).toContain(trial.guest.poweringOffLine)
    },
  )

  promises(
    'what is on the disk stays there over stop, kill, reset and start',
    ['vm.start', 'vm.stop', 'vm.reset', 'vm.console'],
    async (trial) => {
      const { guest } = trial
      const { vm, console } = await trial.runningVmWithDisk()
      expect(await guest.readDisk(console)).toBe(0)
      await guest.writeDisk(console, 0x11)
      await vm.stop().unwrap()
      const second = await trial.startVm(vm)
      expect(await guest.readDisk(second.console)).toBe(0x11)
      await guest.writeDisk(second.console, 0x22)
      await vm.stop({ mode: 'kill' }).unwrap()
      const third = await trial.startVm(vm)
      expect(await guest.readDisk(third.console)).toBe(0x22)
      await vm.reset().unwrap()
      await third.console.until(guest.readyLine)
      expect(await guest.readDisk(third.console)).toBe(0x22)
    },
  )

  promises(
    'a guest that turns its power off leaves the VM stopped',
    ['vm.waitForState', 'vm.console'],
    async (trial) => {
      const { vm, console } = await trial.runningVm()
      const events = trial.events({ vmId: vm.id })
      trial.guest.powerOff(console)
      expect(await vm.waitForState('stopped', { timeoutMs: 20_000 }).unwrap()).toBe('stopped')
      await trial.expectState(vm, 'stopped')
      await events.until((event) => event.type === 'state' && event.state === 'stopped' && event.reason === 'guest')
      await trial.startVm(vm)
      await trial.expectState(vm, 'running')
    },
  )

  promises('a guest that restarts itself stays running', ['vm.start', 'vm.console'], async (trial) => {
    const { vm, console } = await trial.runningVm()
    const events = trial.events({ vmId: vm.id })
    await trial.guest.count(console)
    trial.guest.reboot(console)
    await console.until(trial.guest.readyLine)
    expect(await trial.guest.count(console)).toBe(1)
    await trial.expectState(vm, 'running')
    await events.close()
    expect(events.states).not.toContain('stopped')
    expect(events.states).not.toContain('crashed')
  })

  promises(
    'waitForState ends when the VM gets there, at once where it is there already',
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
