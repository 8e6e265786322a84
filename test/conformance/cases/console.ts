import { once } from 'node:events'
import { InvalidStateError, VmNotFoundError } from 'awaitvm'
import { expect } from 'vitest'
import type { Cases } from '../suite.js'

export const consoleCases: Cases = ({ promises }) => {
  const needs = ['vm.console'] as const

  promises('what is written to the console reaches the guest, and what it answers comes back', needs, async (trial) => {
    const { console } = await trial.runningVm()
    for (let times = 1; times <= 5; times += 1) expect(await trial.guest.count(console)).toBe(times)
  })

  promises('a long input arrives whole and in order', needs, async (trial) => {
    const { console } = await trial.runningVm()
    const lines = 100
    const before = await trial.guest.count(console)
    console.stream.write('\r'.repeat(lines * trial.guest.linesPerCommand))
    expect(await trial.guest.count(console)).toBe(before + lines + 1)
    const text = Array.from({ length: 100 }, (_, index) => String(index % 10)).join('')
    await console.ask(text, `${text}\r\n`)
  })

  promises('several consoles are open at once, and all see the same', needs, async (trial) => {
    const { vm, console: first } = await trial.runningVm()
    const second = trial.console(vm)
    const third = trial.console(vm)
    await second.until(trial.guest.readyLine)
    expect(await trial.guest.count(second)).toBe(1)
    expect(await trial.guest.count(third)).toBe(2)
    for (const console of [first, second]) await console.until(trial.guest.countLine(2))
    second.close()
    expect(await trial.guest.count(third)).toBe(3)
    await first.until(trial.guest.countLine(3))
    expect(third.text).toBe(first.text)
  })

  promises('a console that is opened late begins with what the guest has said before', needs, async (trial) => {
    const { vm, console } = await trial.runningVm()
    await trial.guest.count(console)
    const late = trial.console(vm)
    await late.until(trial.guest.readyLine)
    await late.until(trial.guest.countLine(1))
    expect(late.text).toBe(console.text)
  })

  promises('a console outlives a pause and a reset', [...needs, 'vm.pause', 'vm.resume', 'vm.reset'], async (trial) => {
    const { vm, console } = await trial.runningVm()
    await vm.pause().unwrap()
    await vm.resume().unwrap()
    expect(await trial.guest.count(console)).toBe(1)
    await vm.reset().unwrap()
    await console.until(trial.guest.readyLine)
    expect(await trial.guest.count(console)).toBe(1)
  })

  promises(
    'a console ends without an error when the VM stops, after everything that the guest said',
    [...needs, 'vm.stop'],
    async (trial) => {
      const { vm, console } = await trial.runningVm()
      const second = trial.console(vm)
      await vm.stop().unwrap()
      for (const each of [console, second]) {
        expect(await each.untilClosed()).toBeUndefined()
        expect(each.text).toContain(trial.guest.poweringOffLine)
      }
    },
  )

  promises('a console ends without an error where the guest goes with input still pending', needs, async (trial) => {
    const { vm, console } = await trial.runningVm()
    trial.guest.powerOff(console)
    console.stream.write('x'.repeat(20_000))
    expect(await console.untilClosed()).toBeUndefined()
    expect(console.text).toContain(trial.guest.poweringOffLine)
    expect(await vm.waitForState('stopped').unwrap()).toBe('stopped')
  })

  promises('a console that was half closed still reads', needs, async (trial) => {
    const { vm, console } = await trial.runningVm()
    const other = trial.console(vm)
    console.stream.end()
    await once(console.stream, 'finish')
    expect(await trial.guest.count(other)).toBe(1)
    await console.until(trial.guest.countLine(1))
  })

  promises(
    'writing to a console whose VM has stopped fails, and harms nothing',
    [...needs, 'vm.stop'],
    async (trial) => {
      const { vm, console } = await trial.runningVm()
      await vm.stop({ mode: 'kill' }).unwrap()
      await console.untilClosed()
      const failure = await new Promise((resolve) => console.stream.write('x', resolve))
      expect(failure).toBeInstanceOf(Error)
      await trial.startVm(vm)
    },
  )

  promises('the console of a stopped VM is destroyed with INVALID_STATE', needs, async (trial) => {
    const vm = await trial.createVm()
    const console = trial.console(vm)
    console.send('hello')
    const error = await console.untilClosed()
    expect(error).toBeInstanceOf(InvalidStateError)
    expect(error?.message).toContain(JSON.stringify(vm.name))
    expect(console.text).toBe('')
  })

  promises('the console of a deleted VM is destroyed with VM_NOT_FOUND', [...needs, 'vm.delete'], async (trial) => {
    const vm = await trial.createVm()
    await vm.delete().unwrap()
    expect(await trial.console(vm).untilClosed()).toBeInstanceOf(VmNotFoundError)
  })

  promises('a console that is destroyed leaves the VM running', needs, async (trial) => {
    const { vm, console } = await trial.runningVm()
    for (let times = 0; times < 20; times += 1) trial.console(vm).close()
    console.close()
    await trial.expectState(vm, 'running')
    expect(await trial.guest.count(trial.console(vm))).toBe(1)
  })

  promises('a console that nobody reads does not hold the VM up', needs, async (trial) => {
    const { vm, console } = await trial.runningVm()
    const idle = vm.console()
    const text = 'x'.repeat(100)
    const commands = 100
    for (let times = 0; times < commands * trial.guest.linesPerCommand; times += 1) {
      await console.ask(text, `${text}\r\n`)
    }
    expect(await trial.guest.count(console)).toBe(commands + 1)
    idle.destroy()
  })
}
