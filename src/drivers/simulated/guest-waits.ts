import { invalidState } from '../../errors/state.js'
import type { Actions } from './action.js'
import type { SimulatedHost } from './host.js'
import { inGuest } from './guest-work.js'
import { reachGuest } from './guest-reach.js'
import { requireMachine } from './observing-actions.js'
import type { Run } from './run.js'
import type { SimulatedMachine } from './simulated-machine.js'
import type { SimulatedVm } from './simulated-vm.js'

/** What waits for a guest, and what it tells of itself. */
export const guestWaits: Actions<'guest.waitUntilReady' | 'guest.waitForPort' | 'guest.getInfo'> = {
  'guest.waitUntilReady': async (host, run, { vm: id }) => {
    const { vm, machine } = await run.look(() => requireMachine(host, id, 'guest.waitUntilReady'), host.store.get(id))
    // Nothing installs an agent later.
    if (!host.hasAgent(vm.config)) await untilEnd(run, vm, machine, () => () => undefined)
  },

  'guest.waitForPort': async (host, run, { vm: id, port }) => {
    const { vm, machine } = await run.look(() => requireMachine(host, id, 'guest.waitForPort'), host.store.get(id))
    if (!host.hasAgent(vm.config)) return untilEnd(run, vm, machine, () => () => undefined)
    if (machine.isListening(port)) return
    await untilEnd(run, vm, machine, (resolve) =>
      machine.onListening(() => {
        if (machine.isListening(port)) resolve()
      }),
    )
  },

  'guest.getInfo': (host, run, { vm: id }) =>
    run.look(() => {
      const { vm } = reachGuest(host, id, 'guest.getInfo')
      return { system: 'Linux', hostName: hostNameOf(host, vm), users: [], time: new Date(host.clock.now) }
    }, host.store.get(id)),
}

/** Waits until `begin` resolves. The end of the guest ends the wait. */
function untilEnd(
  run: Run,
  vm: SimulatedVm,
  machine: SimulatedMachine,
  begin: (resolve: () => void) => () => void,
): Promise<void> {
  return inGuest(
    run,
    machine,
    (signal) =>
      new Promise<void>((resolve) => {
        signal.addEventListener('abort', begin(resolve), { once: true })
      }),
    () => invalidState(vm.state, ['running']),
  )
}

function hostNameOf({ clock }: SimulatedHost, vm: SimulatedVm): string {
  const content = vm.withFiles(clock.now, (files) => {
    return files.node('/etc/hostname', true)?.type === 'file' ? files.read('/etc/hostname') : undefined
  })
  return (content === undefined ? '' : Buffer.from(content).toString().trim()) || vm.name
}
