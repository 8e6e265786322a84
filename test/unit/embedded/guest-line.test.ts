import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { GuestPort } from '../../../src/drivers/embedded/guest-port/guest-port.js'
import { withGuestProgram } from '../../../src/drivers/embedded/guest-program/initrd-with-program.js'
import { debianLinux } from '../../support/debian-linux.js'
import { TestMachine } from '../../support/embedded-machine.js'
import { StartedProgram } from '../../support/native-guest-program.js'
import { skipWithout } from '../../support/optional-tool.js'

const xoff = '\u0013'

test(
  'the guest program takes over a port whose terminal was told to stop, with an echo that waits',
  { timeout: 300_000 },
  async (context) => {
    const linux = await debianLinux()
    skipWithout(context, linux.unavailable)
    if (linux.unavailable !== undefined) return
    const initrd = readFileSync(linux.initrd)
    await using vm = await TestMachine.load({
      memoryMiB: 128,
      boot: {
        kind: 'linux',
        kernel: readFileSync(linux.kernel),
        initrd,
        ...withGuestProgram(initrd, 'console=ttyS0 quiet'),
      },
    })
    const port = new GuestPort({ send: (bytes) => vm.machine.sendPort(bytes), isRunning: () => true })
    vm.log.onPortOutput = (bytes) => {
      port.receive(bytes)
    }
    await vm.machine.start()
    await vm.log.untilOutput('/ #')
    // As it is between the moment in which a process opens it and that in which it is made raw.
    await vm.command('mknod /tmp/line c 4 65; exec 9<>/tmp/line; stty -F /tmp/line sane ixon; echo $((7*7))', '49\r\n')
    await vm.machine.sendPort(Buffer.from(`before${xoff}after`))
    const written = new Promise<void>((resolve) => {
      vm.log.onPortOutput = (bytes) => {
        port.receive(bytes)
        resolve()
      }
    })
    // The serving process ends, and another one opens the port.
    await vm.command('kill $(pidof awaitvm-guest | cut -d " " -f 1); echo $((8*8))', '64\r\n')
    await written
    const { end } = new StartedProgram(port, { argv: ['true'] })
    expect(await end).toEqual({ exitCode: 0 })
  },
)
