import { InvalidArgumentError } from '../../../errors.js'
import type { GuestArchitecture, MachineType } from '../../../model/vm-config.js'
import type { VmChanges } from '../../../model/vm-spec.js'
import type { Hardware } from '../definition.js'
import type { QemuOptions } from '../disks/disk-chain.js'

/** A kind of machine. `virt` is the one of aarch64. */
export type MachineKind = MachineType | 'virt'

/** The kind of a machine, by QEMU's name for it: `pc-q35-7.2`, `pc-i440fx-7.2`, `virt-7.2`. */
export function kindOfMachine(machine: string): MachineKind {
  if (machine.startsWith('virt-')) return 'virt'
  return machine.startsWith('pc-q35-') ? 'q35' : 'pc'
}

export const architectureOf = (machine: string): GuestArchitecture => architectureOfKind(kindOfMachine(machine))
export const architectureOfKind = (kind: MachineKind): GuestArchitecture => (kind === 'virt' ? 'aarch64' : 'x86_64')

/** Architecture and machine as users see them. */
export function shownMachine(machine: string): Pick<VmChanges, 'architecture' | 'machine'> {
  const kind = kindOfMachine(machine)
  return { architecture: architectureOfKind(kind), ...(kind !== 'virt' && { machine: kind }) }
}

/**
 * The kind of machine that a spec or an edit asks for.
 *
 * @param present QEMU's name for the machine that the VM has
 */
export function wantedMachine(
  { architecture, machine }: VmChanges,
  present: string | undefined,
  root: string,
): MachineKind {
  const former = present === undefined ? undefined : kindOfMachine(present)
  const wanted = architecture ?? architectureOfKind(former ?? 'q35')
  if (former !== undefined && wanted !== architectureOfKind(former)) {
    const path = `${root}.architecture`
    const reason = `${path} is '${wanted}', and an edit can't change that of a VM, which is '${architectureOfKind(former)}'`
    throw new InvalidArgumentError({ path, reason, hint: 'Make another VM.' })
  }
  if (wanted === 'x86_64') return machine ?? former ?? 'q35'
  if (machine !== undefined) {
    const path = `${root}.machine`
    throw new InvalidArgumentError({
      path,
      reason: `${path} is of x86_64, and the VM is of aarch64`,
      hint: 'Leave it out.',
    })
  }
  return 'virt'
}

/** Throws if the settings have something that only a PC has. */
export function requireForMachine({ machine, floppies, boot }: Omit<Hardware, 'images'>, root: string): void {
  if (kindOfMachine(machine) !== 'virt') return
  const refuse = (path: string, reason: string, hint: string): never => {
    throw new InvalidArgumentError({ path: `${root}.${path}`, reason: `${root}.${path} ${reason}`, hint })
  }
  if (floppies.length > 0) refuse('floppies', 'must be empty for aarch64, which has no floppy drives', 'Use a CD-ROM.')
  if (boot.videoFirmware !== undefined) refuse('boot.videoFirmware', 'is of PCs only', 'Leave it out.')
  if (boot.firmware === 'bios') refuse('boot.firmware', "is 'bios', which aarch64 does not have", "Use 'uefi'.")
}

/**
 * The id of the bridge to the bus for devices with slots of their own. Q35's own bus plugs nothing while the VM runs; a port of PCI
 * Express for each disk would take firmware and guest longer to look through than this one bridge, which takes 31.
 */
export const bridge = 'plug'

/** The place of a PCI device on the bus where disks are plugged; the next free slot if none is given. */
export const inSlot = (machine: string, slot: number | undefined): QemuOptions => ({
  ...(kindOfMachine(machine) === 'q35' && { bus: bridge }),
  ...(slot !== undefined && { addr: `0x${slot.toString(16)}` }),
})
