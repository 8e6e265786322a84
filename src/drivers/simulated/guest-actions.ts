import { argvOf, bufferedProgram } from '../../driver/buffered-program.js'
import type { NetworkAddress } from '../../model/network-address.js'
import { goneWithGuest, programEndUnknown } from '../../errors/program-end.js'
import type { Actions } from './action.js'
import type { HostClock } from './clock.js'
import { execResult, noSuchProgram, type SimulatedProgram } from './guest-program.js'
import type { SimulatedHost } from './host.js'
import { reachGuest } from './guest-reach.js'
import type { SimulatedVm } from './simulated-vm.js'

/** Programs of a guest, and its addresses. */
export const guestActions: Actions<'guest.exec' | 'guest.getNetworkAddresses'> = {
  'guest.exec': async (host, run, { vm: id, command, options, io }) => {
    const { vm, machine } = await run.look(() => reachGuest(host, id, 'guest.exec'), host.store.get(id))
    const handler = vm.handlers?.exec ?? host.execHandler
    const argv = argvOf(command)
    return await bufferedProgram(io, async (input) => {
      if (handler === undefined) return execResult(noSuchProgram(argv))
      const result = await run.until(
        machine,
        async (signal) => handler(programOf(host, { argv, options: { ...options, input }, vm: vm.name, signal })),
        () => programEndUnknown(goneWithGuest(vm.state)),
      )
      return execResult(result ?? noSuchProgram(argv))
    })
  },

  'guest.getNetworkAddresses': (host, run, { vm: id }) =>
    run.look(() => addressesOf(reachGuest(host, id, 'guest.getNetworkAddresses').vm), host.store.get(id)),
}

const programOf = ({ clock }: SimulatedHost, program: Omit<SimulatedProgram, 'sleep'>): SimulatedProgram => ({
  ...program,
  sleep: (ms) => sleep(clock, ms, program.signal),
})

function sleep(clock: HostClock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => {
      forget()
      reject(new DOMException('The program was stopped', 'AbortError'))
    }
    const forget = clock.after(ms, () => {
      signal.removeEventListener('abort', stop)
      resolve()
    })
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}

/** The addresses of a guest, by the number of its VM: 10.0.0.1 for the first. */
function addressesOf({ number }: SimulatedVm): NetworkAddress[] {
  const [high, middle, low] = [(number >> 16) & 0xff, (number >> 8) & 0xff, number & 0xff]
  const macAddress = ['52:54:00', ...[high, middle, low].map((byte) => byte.toString(16).padStart(2, '0'))].join(':')
  const eth0 = { interfaceName: 'eth0', macAddress }
  return [
    { ...eth0, address: `10.${[high, middle, low].join('.')}`, family: 'ipv4' },
    { ...eth0, address: `fd00::${number.toString(16)}`, family: 'ipv6' },
  ]
}
