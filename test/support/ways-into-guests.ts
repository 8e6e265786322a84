import type { Vm } from 'awaitvm'
import { createSimulatedServer } from 'awaitvm/testing'
import { patience } from '../../src/testing/conformance/deadline.js'
import { debianWithSsh, withAgent, type DebianWithSsh } from './debian-with-ssh.js'
import { missingQemu } from './optional-tool.js'
import { QmpHost } from './qmp-host.js'
import { RealPrograms } from './real-programs.js'

/** A VM whose guest runs programs. */
interface GuestOfWay extends AsyncDisposable {
  readonly vm: Vm
}

interface GuestOnQemu extends GuestOfWay {
  readonly host: QmpHost
}

/** How programs reach a guest. */
interface WayIntoGuest<Guest extends GuestOfWay = GuestOfWay> {
  readonly name: string
  /** Why it can't be had on this machine. */
  missing(): Promise<string | undefined>
  /** False if the guest is this machine, where others run programs, too. */
  readonly isOwnGuest: boolean
  open(): Promise<Guest>
}

/** Programs of this machine. */
const simulated: WayIntoGuest = {
  name: 'the simulated host',
  isOwnGuest: false,
  missing: () => Promise.resolve(undefined),
  async open() {
    const host = createSimulatedServer({ clock: 'real', vms: [{ name: 'web-1', state: 'running' }] })
    const programs = new RealPrograms()
    host.onExec((program) => programs.run(program))
    return {
      vm: await host.server.getVm('web-1').unwrap(),
      async [Symbol.asyncDispose]() {
        await host[Symbol.asyncDispose]()
        await programs.ended()
      },
    }
  },
}

const onQemu = (
  name: string,
  agent: string,
  guest: (
    linux: DebianWithSsh,
  ) =>
    | { readonly way: 'ssh'; readonly user: string; readonly privateKeyFile: string; readonly hostKey: string }
    | undefined,
): WayIntoGuest<GuestOnQemu> => ({
  name,
  isOwnGuest: true,
  missing: async () => missingQemu ?? (await debianWithSsh()).unavailable,
  async open() {
    const linux = await debianWithSsh()
    if (linux.unavailable !== undefined) throw new Error(linux.unavailable)
    const { kernel, initrd } = linux
    const host = await QmpHost.open()
    const vm = await host.createVm({
      memoryMiB: 256,
      boot: { kernel, initrd, commandLine: `console=ttyS0 quiet ${agent}` },
      networkAdapters: [{ portForwards: [{ guestPort: 22 }] }],
      guest: guest(linux),
    })
    await vm.start().unwrap()
    await vm.guest.waitUntilReady(patience).unwrap()
    return { vm, host, [Symbol.asyncDispose]: () => host[Symbol.asyncDispose]() }
  },
})

/** The ways into a Debian on QEMU, which has the users `root` and `ci`. */
export const waysOnQemu: readonly WayIntoGuest<GuestOnQemu>[] = [
  onQemu("QEMU's agent", withAgent, () => undefined),
  onQemu('SSH', '', ({ userKey, hostKey }) => ({ way: 'ssh', user: 'root', privateKeyFile: userKey, hostKey })),
]

/** The ways whose programs really run. */
export const waysIntoGuests: readonly WayIntoGuest[] = [simulated, ...waysOnQemu]
