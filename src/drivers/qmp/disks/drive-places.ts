import { InvalidArgumentError } from '../../../errors.js'
import type { DiskBus } from '../../../model/vm-config.js'
import type { DiskDefinition, Hardware } from '../definition.js'
import { kindOfMachine, type MachineKind } from '../hardware/machine.js'

export type Drives = Pick<Hardware, 'machine' | 'disks' | 'cdroms'>

/** Where a drive is: on a bus, with its number there. Virtio's disks have PCI slots instead. */
export interface DrivePlace {
  readonly bus: DiskBus
  readonly place: number
}

interface Placed<D> extends DrivePlace {
  readonly drive: D
}

interface PlacedDrives {
  readonly disks: readonly Placed<DiskDefinition>[]
  readonly cdroms: readonly Placed<Hardware['cdroms'][number]>[]
}

/** The drives that a bus has room for: four of IDE, six ports of SATA; of SCSI's targets, more than a VM has drives. */
const room: Readonly<Record<DiskBus, number>> = { ide: 4, sata: 6, scsi: 32, virtio: Infinity }

/** The bus for CD-ROM drives that every system knows. */
const ownBus = { q35: 'sata', pc: 'ide', virt: 'scsi' } as const satisfies Readonly<Record<MachineKind, DiskBus>>
/** The buses that a machine does not have. */
const otherBuses: Readonly<Record<MachineKind, readonly DiskBus[]>> = {
  q35: ['ide'],
  pc: ['sata'],
  virt: ['sata', 'ide'],
}

/** The place of each drive. Disks take the first places of their bus in order, and CD-ROM drives the last ones. */
export function placedDrives(drives: Drives): PlacedDrives {
  const cdromBuses = busesOfCdroms(drives)
  return {
    disks: placed(drives.disks, busesOfDisks(drives), () => 0),
    cdroms: placed(drives.cdroms, cdromBuses, (bus) => room[bus] - countOf(cdromBuses, bus)),
  }
}

/** The disks, each with its bus. */
export const disksWithBus = (drives: Drives): DiskDefinition[] =>
  placedDrives(drives).disks.map(({ drive, bus }) => ({ ...drive, bus }))

/** The CD-ROM drives, each with its bus. */
export const cdromsWithBus = (drives: Drives): Hardware['cdroms'] => {
  const buses = busesOfCdroms(drives)
  return drives.cdroms.map((drive, index) => ({ ...drive, bus: buses[index] }))
}

const busesOfCdroms = ({ machine, cdroms }: Drives): ('scsi' | 'sata' | 'ide')[] =>
  cdroms.map(({ bus }) => bus ?? ownBus[kindOfMachine(machine)])

/** Disks of an older awaitvm have no bus: those without a slot were IDE's as long as there was a place. */
function busesOfDisks(drives: Drives): DiskBus[] {
  const idePlaces = room.ide - countOf(busesOfCdroms(drives), 'ide')
  const buses: DiskBus[] = []
  for (const { bus, slot } of drives.disks) {
    const isIde = slot === undefined && countOf(buses, 'ide') < idePlaces
    buses.push(bus ?? (isIde ? 'ide' : 'virtio'))
  }
  return buses
}

const countOf = (buses: readonly DiskBus[], bus: DiskBus): number => buses.filter((other) => other === bus).length

function placed<D>(drives: readonly D[], buses: readonly DiskBus[], firstOf: (bus: DiskBus) => number): Placed<D>[] {
  return drives.flatMap((drive, index) => {
    const bus = buses[index]
    return bus === undefined ? [] : { drive, bus, place: firstOf(bus) + countOf(buses.slice(0, index), bus) }
  })
}

/** Throws if the machine lacks the bus of a drive, or if a bus has too many drives. */
export function checkBuses(drives: Drives, root: string): void {
  const machine = kindOfMachine(drives.machine)
  const { disks, cdroms } = placedDrives(drives)
  for (const [kind, places] of Object.entries({ disks, cdroms })) {
    const index = places.findIndex(({ bus }) => otherBuses[machine].includes(bus))
    const lacking = places[index]
    if (lacking !== undefined) throw lacksBus(`${root}.${kind}[${String(index)}].bus`, lacking.bus, machine)
  }
  const buses = [...disks, ...cdroms].map(({ bus }) => bus)
  for (const bus of ['ide', 'sata', 'scsi'] as const) {
    const count = countOf(buses, bus)
    if (count <= room[bus]) continue
    const path = `${root}.disks`
    const most = `at most ${String(room[bus])} drives, CD-ROMs included`
    const reason = `${path} leads to ${String(count)} drives with the bus '${bus}', which has ${most}`
    throw new InvalidArgumentError({ path, reason, hint: "Give some of the disks the bus 'virtio'." })
  }
}

function lacksBus(path: string, bus: DiskBus, machine: MachineKind): InvalidArgumentError {
  if (machine === 'virt') {
    const reason = `${path} is '${bus}', which the machine of aarch64 does not have`
    return new InvalidArgumentError({ path, reason, hint: "Use 'virtio' or 'scsi'." })
  }
  const other = machine === 'q35' ? 'pc' : 'q35'
  return new InvalidArgumentError({
    path,
    reason: `${path} is '${bus}', which the machine '${machine}' does not have`,
    hint: `Use '${ownBus[machine]}', or machine: '${other}'.`,
  })
}
