import { randomUUID } from 'node:crypto'
import { totalmem } from 'node:os'
import { refuseSettings, unsupported, type HandledSettings } from '../../../driver/settings.js'
import { InvalidArgumentError } from '../../../errors.js'
import type { DiskSpec } from '../../../model/vm-config.js'
import type { VmChanges, VmSpec } from '../../../model/vm-spec.js'
import { checkDrives } from '../../../files/check-drives.js'
import { recordImages, type ImageRecord } from '../../../files/image-record.js'
import { readDiskImage, type DiskImage } from '../../../images/disk-image.js'
import { isForeign } from '../../../images/foreign-disk.js'
import { kernelProblem } from '../../../images/kernel-image.js'
import { cloneAdapters } from '../../../network/kept-adapter.js'
import { refuseNetworks } from '../../../network/network-kinds.js'
import { keepHardware, noHardware } from '../../../registry/keep-hardware.js'
import { mapDisks, type DiskDefinition, type Hardware } from '../definition.js'
import { newDiskFile, withNewFile } from '../disks/disk-chain.js'
import { checkBuses, disksWithBus } from '../disks/drive-places.js'
import { resolveShares } from '../shares/shared-folder.js'
import { planFlash } from '../firmware/flash.js'
import { checkExtraArguments } from './extra-arguments.js'
import { architectureOf, requireForMachine } from './machine.js'
import type { SeedPlan } from './seed.js'
import { wantedTpm } from './tpm.js'

const mebibyte = 2 ** 20
/** The limits of the machines: PCI slots for virtio disks, two floppy drives, 255 processors. */
const limits = { disks: 16, cdroms: 2, floppies: 2, cpus: 255, maxDiskMiB: 64 * 2 ** 20 }
const defaultMemoryMiB = 512

const handled: HandledSettings = {
  name: true,
  description: true,
  labels: true,
  ephemeral: true,
  cpus: true,
  memoryMiB: true,
  disks: { id: true, image: true, sha256: true, sha512: true, sizeMiB: true, bus: true },
  deleteDisks: true,
  cdroms: { image: true, bus: true },
  floppies: { image: true },
  boot: {
    kernel: true,
    initrd: true,
    commandLine: true,
    secureBoot: true,
    firmware: true,
    videoFirmware: true,
    order: true,
  },
  architecture: true,
  machine: true,
  native: { arguments: true },
  tpm: true,
  networkAdapters: {
    macAddress: true,
    network: true,
    outbound: true,
    portForwards: { guestPort: true, hostPort: true, protocol: true, hostAddress: true },
  },
  cloudInit: true,
  shares: { path: true, tag: true, readOnly: true, type: true },
  guest: {
    way: unsupported({
      values: ['none'],
      reason: 'only the embedded host puts a program of its own into guests',
      hint: 'Leave spec.guest out.',
    }),
    user: true,
    privateKeyFile: true,
    host: true,
    port: true,
    hostKey: true,
  },
}

const noHostNetworks = {
  reason: 'QEMU knows the networks of libvirt by their bridges only',
  hint: "Name the bridge, such as { bridge: 'virbr0' }.",
}

/** Throws if the settings ask for something that the machine does not have. */
export const refuseUnsupported = (settings: VmSpec | VmChanges, root: 'spec' | 'changes'): void => {
  refuseSettings(settings, handled, { driver: 'qmp', root })
  refuseNetworks(settings, { hostNetwork: noHostNetworks }, root)
}

/** The hardware of a clone: its disks have new ids and files, its adapters new addresses, and its seed is another one. */
export const cloneHardware = (hardware: Hardware, seed: SeedPlan['hardware']): Hardware => ({
  ...mapDisks(hardware, (disk) => ({ ...withNewFile(disk), id: randomUUID() })),
  ...seed,
  networkAdapters: cloneAdapters(hardware.networkAdapters),
})

interface HardwarePlan {
  /** The parameter with the settings, for errors. */
  readonly root: string
  /** QEMU's name for the machine. */
  readonly machine: string
  /** The path of the directory of VMs, which is not shared with guests. */
  readonly directory: string
}

/** The hardware that a spec or an edit leads to, with all checks, including those of images. */
export async function planHardware(
  spec: VmChanges,
  present: Hardware | undefined,
  { root, machine, directory }: HardwarePlan,
): Promise<Hardware> {
  const before: Hardware = present ?? { ...noHardware, machine, memoryMiB: defaultMemoryMiB, images: {} }
  const kept = keepHardware(spec, { ...before, disks: disksWithBus(before) }, newDisk)
  const wanted = {
    ...kept,
    machine,
    flash: await planFlash(kept.boot, { ...before, machine }, `${root}.boot.firmware`),
    tpm: wantedTpm(spec.tpm, before.tpm),
    seed: before.seed,
    extraArguments: spec.native === undefined ? before.extraArguments : spec.native.arguments,
    ownKey: before.ownKey,
    shares: spec.shares === undefined ? before.shares : await resolveShares(spec.shares, { root, directory }),
    cdroms: withCdromBuses(kept.cdroms, before.cdroms),
  }
  return { ...wanted, images: await checkHardware(wanted, before, root) }
}

/** A drive keeps its bus if an edit does not name one. */
const withCdromBuses = (wanted: Hardware['cdroms'], present: Hardware['cdroms']): Hardware['cdroms'] =>
  wanted.map((drive, index) => ({ ...drive, bus: drive.bus ?? present[index]?.bus }))

const newDisk = ({ bus = 'virtio', ...disk }: DiskSpec): DiskDefinition => ({
  ...disk,
  bus,
  id: randomUUID(),
  file: newDiskFile(),
})

/**
 * Throws if QEMU can't provide the hardware. Returns the images' stamps to keep.
 *
 * @param present the VM's present hardware, whose images are not checked again
 */
export async function checkHardware(
  wanted: Omit<Hardware, 'images'>,
  present: Hardware | undefined,
  root: string,
): Promise<ImageRecord> {
  const { cpus, memoryMiB, boot } = wanted
  if (cpus > limits.cpus) throw wrong(`${root}.cpus`, `must be at most ${String(limits.cpus)}, and is ${String(cpus)}`)
  const maxMemoryMiB = Math.floor(totalmem() / mebibyte)
  if (memoryMiB > maxMemoryMiB) {
    const has = `must be at most ${String(maxMemoryMiB)}, which this computer has`
    throw wrong(`${root}.memoryMiB`, `${has}, and is ${String(memoryMiB)}`)
  }
  requireForMachine(wanted, root)
  checkDrives(wanted, root, limits)
  checkBuses(wanted, root)
  checkExtraArguments(wanted.extraArguments ?? [], root)
  const images = await recordImages({
    wanted,
    present,
    root,
    driver: 'qmp',
    takeDiskImage,
  })
  if (boot.kernel !== present?.boot.kernel) await checkKernel(wanted, root)
  return images
}

async function checkKernel(
  { boot: { kernel }, machine }: Pick<Hardware, 'boot' | 'machine'>,
  root: string,
): Promise<void> {
  const problem = kernel === undefined ? undefined : await kernelProblem(kernel, architectureOf(machine))
  if (problem !== undefined) throw wrong(`${root}.boot.kernel`, `can't be booted: ${JSON.stringify(kernel)} ${problem}`)
}

/** What the image of a new disk is, which was converted before. */
async function takeDiskImage(image: string, path: string): Promise<DiskImage> {
  const found = await findDiskImage(image, path)
  if (isForeign(found.format)) throw wrong(path, `names ${image}, which is a ${found.format} image since just now`)
  return found
}

/** What an image is that a disk can start from, converted or as it is. */
export async function findDiskImage(image: string, path: string): Promise<DiskImage> {
  const found = await readDiskImage(image, path)
  const { diskBytes } = found
  if (diskBytes > limits.maxDiskMiB * mebibyte) {
    const has = `a disk of ${String(diskBytes)} bytes`
    throw wrong(path, `must have at most ${String(limits.maxDiskMiB)} MiB, and ${image} has ${has}`)
  }
  return found
}

const wrong = (path: string, what: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} ${what}` })
