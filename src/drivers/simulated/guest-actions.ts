import type { NetworkAddress } from '../../model/network-address.js'
import type { Actions } from './action.js'
import { guestExec } from './guest-exec.js'
import { reachGuest } from './guest-reach.js'
import type { SimulatedVm } from './simulated-vm.js'

/** Programs of a guest, and its addresses. */
export const guestActions: Actions<'guest.exec' | 'guest.getNetworkAddresses'> = {
  'guest.exec': guestExec,

  'guest.getNetworkAddresses': (host, run, { vm: id }) =>
    run.look(() => addressesOf(reachGuest(host, id, 'guest.getNetworkAddresses').vm), host.store.get(id)),
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
