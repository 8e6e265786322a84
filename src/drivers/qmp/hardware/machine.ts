import type { MachineType } from '../../../model/vm-config.js'
import type { QemuOptions } from '../disks/disk-chain.js'

/** The kind of a machine, by QEMU's name for it: `pc-q35-7.2`, `pc-i440fx-7.2`. */
export const machineTypeOf = (machine: string): MachineType => (machine.startsWith('pc-q35-') ? 'q35' : 'pc')

/**
 * The id of the bridge to the bus for devices with slots of their own. Q35's own bus plugs nothing while the VM runs; a port of PCI
 * Express for each disk would take firmware and guest longer to look through than this one bridge, which takes 31.
 */
export const bridge = 'plug'

/** The place of a PCI device on the bus where disks are plugged; the next free slot if none is given. */
export const inSlot = (machine: string, slot: number | undefined): QemuOptions => ({
  ...(machineTypeOf(machine) === 'q35' && { bus: bridge }),
  ...(slot !== undefined && { addr: `0x${slot.toString(16)}` }),
})
