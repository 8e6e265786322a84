import { readFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import { debianLinux } from '../../support/debian-linux.js'
import { TestMachine } from '../../support/embedded-machine.js'
import { skipWithout } from '../../support/optional-tool.js'

const timeoutMs = 300_000

test(
  'Debian boots to a shell without firmware, idles without polling, powers off by ACPI, and reboots',
  { timeout: timeoutMs },
  async (context) => {
    const linux = await debianLinux()
    skipWithout(context, linux.unavailable)
    if (linux.unavailable !== undefined) return
    await using vm = await TestMachine.load({
      memoryMiB: 128,
      boot: {
        kind: 'linux',
        kernel: readFileSync(linux.kernel),
        initrd: readFileSync(linux.initrd),
        commandLine: 'console=ttyS0 quiet',
      },
    })
    await vm.machine.start()
    await vm.log.untilOutput('shell ready')
    await vm.log.untilOutput('/ #')
    await vm.command('echo $((6*7))', '42\r\n')

    const printed = vm.log.output.length
    const slices = vi.spyOn(globalThis, 'setImmediate')
    await vm.command('grep timer /proc/interrupts; sleep 1; grep timer /proc/interrupts; echo $((5*7))', '35\r\n')
    const [before = NaN, after = NaN] = [...vm.log.output.slice(printed).matchAll(/ 0: +(\d+)/g)].map(([, ticks]) =>
      Number(ticks),
    )
    expect(after - before).toBeGreaterThan(0)
    // A thread that polled would run hundreds of slices from one tick to the next.
    expect(slices.mock.calls.length).toBeLessThan(10 * (after - before))
    slices.mockRestore()

    // Text mode, with a font that nobody has loaded.
    const { width, height } = await vm.machine.screenshot()
    expect([width > 0, height > 0]).toEqual([true, true])

    const initialState = await vm.machine.saveState()
    await vm.command('poweroff -f', 'reboot: Power down')
    await vm.log.untilReport('power off')
    expect(vm.log.reports).toEqual(['power off: acpi'])

    await using button = await TestMachine.load({
      memoryMiB: 128,
      boot: { kind: 'linux', kernel: readFileSync(linux.kernel) },
      initialState,
    })
    await button.machine.start()
    await button.command('echo $((7*6))', '42\r\n')
    await button.machine.pressPowerButton()
    await button.log.untilOutput('button pressed')
    await button.log.untilReport('power off')
    expect(button.log.reports).toEqual(['power off: acpi'])

    await using rebooted = await TestMachine.load({
      memoryMiB: 128,
      boot: { kind: 'linux', kernel: readFileSync(linux.kernel) },
      initialState,
    })
    await rebooted.machine.start()
    await rebooted.machine.sendSerial(Buffer.from('reboot -f\n'))
    await rebooted.log.untilReport('reset')
  },
)
