import type { KeptAdapter } from '../../../network/kept-adapter.js'
import type { FolderId } from '../process/own-qemu.js'
import { privateNetwork } from './private-network.js'

/** QEMU's id of the network of an adapter, by the adapter's index. */
export const networkId = (index: number): string => `net${String(index)}`

/**
 * QEMU's arguments for the adapters. Ports are forwarded after QEMU has started, since it then reports which of them are not
 * available.
 *
 * @param directory whose private networks the VM is on
 */
export const networkDevices = (adapters: readonly KeptAdapter[], directory: FolderId): string[] =>
  adapters.flatMap((adapter, index) => {
    const id = networkId(index)
    const network = { id, ...networkOf(adapter, index, directory) }
    // No ROM: it is only for network boot, and some packages of QEMU lack it.
    const device = { driver: 'virtio-net-pci', netdev: id, mac: adapter.macAddress, romfile: '' }
    return ['-netdev', JSON.stringify(network), '-device', JSON.stringify(device)]
  })

function networkOf({ network, outbound }: KeptAdapter, index: number, directory: FolderId): object {
  if (network === 'user') return userNetwork(index, outbound)
  // A hub, which is connected to the bridge after QEMU has started.
  return 'private' in network ? privateNetwork(directory, network.private) : { type: 'hubport', hubid: index }
}

/**
 * A network of the adapter's own, from 10.0.2.0/24 on, in which the guest is .15 and the host .2, and from fec0:0:0:0::/64 on, in which
 * the host is ::2. IPv6 is of use for ways out only, since QEMU forwards ports by IPv4.
 */
const userNetwork = (index: number, outbound: boolean): object => ({
  type: 'user',
  net: `10.0.${String(2 + index)}.0/24`,
  ...(outbound ? { 'ipv6-prefix': `fec0:0:0:${String(index)}::` } : { ipv6: false }),
  restrict: !outbound,
})
