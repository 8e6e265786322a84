import type { KeptAdapter } from '../../../network/kept-adapter.js'

/** QEMU's id of the network of an adapter, by the adapter's index. */
export const networkId = (index: number): string => `net${String(index)}`

/**
 * QEMU's arguments for the adapters. Each has a network of its own, from 10.0.2.0/24 on, in which the guest is .15 and the host .2.
 * Ports are forwarded after QEMU has started, since it then reports which of them are not available.
 */
export const networkDevices = (adapters: readonly KeptAdapter[]): string[] =>
  adapters.flatMap(({ macAddress, outbound }, index) => {
    const id = networkId(index)
    const network = { type: 'user', id, net: `10.0.${String(2 + index)}.0/24`, ipv6: false, restrict: !outbound }
    // No ROM: it is only for network boot, and some packages of QEMU lack it.
    const adapter = { driver: 'virtio-net-pci', netdev: id, mac: macAddress, romfile: '' }
    return ['-netdev', JSON.stringify(network), '-device', JSON.stringify(adapter)]
  })
