import { once } from 'node:events'
import { expect } from 'vitest'
import { InvalidStateError, VmNotFoundError } from '../../../errors.js'
import { failureOf } from '../expect-failure.js'
import type { Cases } from '../case.js'

export const consoleCases: Cases = ({ promises }) => {
  const needs = ['vm.console'] as const

  promises('the console carries input to the guest, and its answers back', needs, async (trial) => {
    const { guest } = await trial.runningSerialVm()
    for (let times = 1; times <= 5; times += 1) expect(await guest.count()).toBe(times)
  })

  promises('a long input arrives whole and in order', needs, async (trial) => {
    const { guest, console } = await trial.runningSerialVm()
    const lines = 100
    const before = await guest.count()
    console.stream.write('\r'.repeat(lines * guest.linesPerCommand))
    expect(await guest.count()).toBe(before + lines + 1)
    const text = Array.from({ length: 100 }, (_, index) => String(index % 10)).join('')
    await console.ask(text, `${text}\r\n`)
  })

  promises('several consoles are open at once, and all see the same', needs, async (trial) => {
    const { vm, guest, console: first } = await trial.runningSerialVm()
    const second = trial.serialGuestOf(vm)
    const third = trial.serialGuestOf(vm)
    await second.untilReady()
    expect(await second.count()).toBe(1)
    expect(await third.count()).toBe(2)
    for (const console of [first, second.console]) await console.until(guest.countLine(2))
    second.close()
    expect(await third.count()).toBe(3)
    await first.until(guest.countLine(3))
    expect(third.console.text).toBe(first.text)
  })

  promises('a console that is opened late begins with the earlier output of the guest', needs, async (trial) => {
    const { vm, guest, console } = await trial.runningSerialVm()
    await guest.count()
    const late = trial.serialGuestOf(vm).console
    await late.until(guest.readyLine)
    await late.until(guest.countLine(1))
    expect(late.text).toBe(console.text)
  })

  promises('a console outlives a pause and a reset', [...needs, 'vm.pause', 'vm.resume', 'vm.reset'], async (trial) => {
    const { vm, guest, console } = await trial.runningSerialVm()
    await vm.pause().unwrap()
    await vm.resume().unwrap()
    expect(await guest.count()).toBe(1)
    await vm.reset().unwrap()
    await console.until(guest.readyLine)
    expect(await guest.count()).toBe(1)
  })

  promises('waitFor finds what the guest printed before, and then each answer', needs, async (trial) => {
    const { vm, guest } = await trial.runningSerialVm()
    const console = vm.console()
    await console.waitFor(guest.readyLine).unwrap()
    for (const counted of [1, 2]) {
      console.write('count\r')
      const [, lines] = await console.waitFor(/lines (\d+)\r\n/).unwrap()
      expect(lines).toBe(String(counted))
    }
    console.mark()
    await failureOf(console.waitFor(guest.readyLine, { timeoutMs: 100 }), 'TIMEOUT')
    console.destroy()
  })

  promises('waitFor ends with the state of a VM that stops', [...needs, 'vm.stop'], async (trial) => {
    const { vm } = await trial.runningSerialVm()
    const console = vm.console()
    const waiting = console.waitFor('what it never prints')
    await vm.stop({ mode: 'kill' }).unwrap()
    const error = await failureOf(waiting, 'INVALID_STATE')
    expect(error.state).toBe('stopped')
  })

  promises('a paused guest answers once it is resumed', [...needs, 'vm.pause', 'vm.resume'], async (trial) => {
    const { vm, guest, console } = await trial.runningSerialVm()
    await vm.pause().unwrap()
    const said = console.text
    const answer = guest.count()
    // Enough round trips for a guest that runs to have answered many times.
    for (let times = 0; times < 50; times += 1) expect(await vm.getState().unwrap()).toBe('paused')
    expect(console.text).toBe(said)
    await vm.resume().unwrap()
    expect(await answer).toBe(1)
  })

  promises(
    'a console ends without an error when the VM stops, after all output of the guest',
    [...needs, 'vm.stop'],
    async (trial) => {
      const { vm, guest, console } = await trial.runningSerialVm()
      const second = trial.serialGuestOf(vm).console
      await vm.stop().unwrap()
      for (const each of [console, second]) {
        expect(await each.untilClosed()).toBeUndefined()
        expect(each.text).toContain(guest.poweringOffLine)
      }
    },
  )

  promises('a console with pending input ends without an error when the VM stops', needs, async (trial) => {
    const { vm, guest, console } = await trial.runningSerialVm()
    void guest.powerOff()
    console.stream.write('x'.repeat(20_000))
    expect(await console.untilClosed()).toBeUndefined()
    expect(console.text).toContain(guest.poweringOffLine)
    expect(await vm.waitForState('stopped').unwrap()).toBe('stopped')
  })

  promises('a half-closed console still reads', needs, async (trial) => {
    const { vm, guest, console } = await trial.runningSerialVm()
    const other = trial.serialGuestOf(vm)
    console.stream.end()
    await once(console.stream, 'finish')
    expect(await other.count()).toBe(1)
    await console.until(guest.countLine(1))
  })

  promises(
    'writing to the console of a VM that has stopped fails, and does no harm',
    [...needs, 'vm.stop', 'guest'],
    async (trial) => {
      const { vm, console } = await trial.runningSerialVm()
      await vm.stop({ mode: 'kill' }).unwrap()
      await console.untilClosed()
      const failure = await new Promise((resolve) => console.stream.write('x', resolve))
      expect(failure).toBeInstanceOf(Error)
      await trial.startVm(vm)
    },
  )

  promises('the console of a stopped VM is destroyed with INVALID_STATE', needs, async (trial) => {
    const vm = await trial.createVm()
    const { console } = trial.serialGuestOf(vm)
    console.send('hello')
    const error = await console.untilClosed()
    expect(error).toBeInstanceOf(InvalidStateError)
    expect(error?.message).toContain(JSON.stringify(vm.name))
    expect(console.text).toBe('')
  })

  promises('the console of a deleted VM is destroyed with VM_NOT_FOUND', [...needs, 'vm.delete'], async (trial) => {
    const vm = await trial.createVm()
    await vm.delete().unwrap()
    expect(await trial.talkTo(vm).untilGone()).toBeInstanceOf(VmNotFoundError)
  })

  promises('a console that is destroyed leaves the VM running', needs, async (trial) => {
    const { vm, guest } = await trial.runningSerialVm()
    for (let times = 0; times < 20; times += 1) trial.talkTo(vm).close()
    guest.close()
    await trial.expectState(vm, 'running')
    expect(await trial.talkTo(vm).count()).toBe(1)
  })

  promises('a console that is not read does not block the VM', needs, async (trial) => {
    const { vm, guest, console } = await trial.runningSerialVm()
    const idle = vm.console()
    const text = 'x'.repeat(100)
    const commands = 100
    for (let times = 0; times < commands * guest.linesPerCommand; times += 1) {
      await console.ask(text, `${text}\r\n`)
    }
    expect(await guest.count()).toBe(commands + 1)
    idle.destroy()
  })
}
