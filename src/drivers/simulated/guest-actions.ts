import { argvOf, bufferedProgram } from '../../driver/buffered-program.js'
import { GuestUnavailableError, InvalidArgumentError } from '../../errors.js'
import type { NetworkAddress } from '../../model/network-address.js'
import { goneWithGuest, programEndUnknown } from '../../errors/program-end.js'
import type { Actions } from './action.js'
import type { HostClock } from './clock.js'
import { readGuestFile, readLocalFile, requireFolder, requireRegular, writeLocalFile } from './guest-files.js'
import { execResult, noSuchProgram, type SimulatedProgram } from './guest-program.js'
import type { SimulatedHost } from './host.js'
import type { SimulatedMachine } from './simulated-machine.js'
import { requireMachine } from './observing-actions.js'
import type { SimulatedVm } from './simulated-vm.js'

/** What simulated guests do so far. */
export type GuestOperation = 'guest.exec' | 'guest.getNetworkAddresses' | 'guest.copyIn' | 'guest.copyOut'

/** The operations of the agent in a guest. */
export const guestActions: Actions<GuestOperation> = {
  'guest.exec': async (host, run, { vm: id, command, options, io }) => {
    const { vm, machine } = await run.look(() => requireAgent(host, id, 'guest.exec'), host.store.get(id))
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
    run.look(() => addressesOf(requireAgent(host, id, 'guest.getNetworkAddresses').vm), host.store.get(id)),

  'guest.copyIn': async (host, run, { vm: id, from, to }) => {
    await run.look(() => requireAgent(host, id, 'guest.copyIn'), host.store.get(id))
    const content = await run.busy(readLocalFile(from))
    const { vm } = requireAgent(host, id, 'guest.copyIn')
    requireRegular(vm, to, 'to')
    requireFolder(vm, to)
    vm.writeFile(to, content)
  },

  'guest.copyOut': async (host, run, { vm: id, from, to }) => {
    const content = await run.look(() => {
      const { vm } = requireAgent(host, id, 'guest.copyOut')
      requireRegular(vm, from, 'from')
      return readGuestFile(vm, from)
    }, host.store.get(id))
    if (content === undefined) {
      throw new InvalidArgumentError({ path: 'from', reason: `the guest has no file ${JSON.stringify(from)}` })
    }
    run.throwIfInterrupted()
    run.refuseCancels()
    await run.busy(writeLocalFile(to, content))
  },
}

function requireAgent(
  host: SimulatedHost,
  id: string,
  operation: GuestOperation,
): { readonly vm: SimulatedVm; readonly machine: SimulatedMachine } {
  const found = requireMachine(host, id, operation)
  if (host.hasAgent(found.vm.config)) return found
  throw new GuestUnavailableError({
    reason: 'no agent answers in the guest',
    hint: 'Install an agent in the guest, or wait until it is up.',
    retryable: true,
  })
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
