import type { KeptAdapter } from '../../../network/kept-adapter.js'

/** QEMU's name for the network behind an adapter, by its place among the adapters. */
export const networkId = (index: number): string => `net${String(index)}`

/**
 * QEMU's arguments for the adapters. Each has a network of its own, 10.0.2.0/24 and on, in which the guest is .15 and the host
 * .2. Ports are forwarded once QEMU runs, where it tells which of them it can't have.
 */
export const networkDevices = (adapters: readonly KeptAdapter[]): string[] =>
  adapters.flatMap(({ macAddress, outbound }, index) => {
    const id = networkId(index)
    const network = { type: 'user', id, net: `10.0.${String(2 + index)}.0/24`, ipv6: false, restrict: !outbound }
    // Without a ROM, which QEMU may come without, and which is there for booting from the network.
    const adapter = { driver: 'virtio-net-pci', netdev: id, mac: macAddress, romfile: '' }
    return ['-netdev', JSON.stringify(network), '-device', JSON.stringify(adapter)]
  })
