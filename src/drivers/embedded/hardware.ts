import { randomUUID } from 'node:crypto'
import { refuseSettings, unsupported, type HandledSettings } from '../../driver/settings.js'
import { InvalidArgumentError, NotSupportedError } from '../../errors.js'
import { checkDrives } from '../../files/check-drives.js'
import { recordImages } from '../../files/image-record.js'
import { readDiskImage, type DiskImage } from '../../images/disk-image.js'
import { firmwareFile } from '../../model/boot-firmware.js'
import type { DiskSpec } from '../../model/vm-config.js'
import type { VmChanges, VmSpec } from '../../model/vm-spec.js'
import { keepHardware, noHardware } from '../../registry/keep-hardware.js'
import { readBootFile } from './boot-file.js'
import type { Definition, DiskDefinition, Hardware } from './definition.js'
import { type ProgramBoot, withGuestProgram } from './guest-program/initrd-with-program.js'
import { findFirmware, readFirmware } from './firmware.js'
import { BootImageError } from './machine/boot-image-error.js'
import { linuxBootImage } from './machine/linux.js'
import { findMultibootHeader } from './machine/multiboot.js'
import type { MachineBoot } from './machine/protocol.js'

/** The limits of v86: one processor, 2 GiB less a page of memory, two disks, one CD-ROM drive, two floppy drives. */
const limits = { disks: 2, cdroms: 1, floppies: 2, minMemoryMiB: 8, maxMemoryMiB: 2047, maxDiskMiB: 128 * 1024 }
/** Enough for the built-in guest. */
const guestMemoryMiB = 16
const systemMemoryMiB = 128
const mebibyte = 2 ** 20

const biosOnly = unsupported({
  values: ['uefi'],
  reason: 'the emulated machine starts with a BIOS',
  hint: 'Leave spec.boot.firmware out, or use a host of QEMU: qmp:///DIRECTORY.',
})
const noUefi = unsupported({
  values: [true],
  reason: 'its firmware is a BIOS',
  hint: 'Leave spec.boot.secureBoot out, or use a host of QEMU: qmp:///DIRECTORY.',
})
const ownMachine = unsupported({
  reason: 'there is one machine, with IDE drives',
  hint: 'Leave it out, or use a host of QEMU: qmp:///DIRECTORY.',
})
const noQemu = unsupported({
  reason: 'QEMU is not what runs its VMs',
  hint: 'Leave it out, or use a host of QEMU: qmp:///DIRECTORY.',
})
const handled: HandledSettings = {
  name: true,
  description: true,
  labels: true,
  ephemeral: true,
  cpus: true,
  memoryMiB: true,
  disks: { id: true, image: true, sha256: true, sha512: true, sizeMiB: true, bus: ownMachine },
  deleteDisks: true,
  cdroms: { image: true, bus: ownMachine },
  floppies: { image: true },
  boot: {
    kernel: true,
    initrd: true,
    commandLine: true,
    secureBoot: noUefi,
    firmware: biosOnly,
    videoFirmware: true,
    order: true,
  },
  architecture: ownMachine,
  machine: ownMachine,
  native: { arguments: noQemu },
  tpm: unsupported({
    values: [true],
    reason: 'the emulated machine has no TPM',
    hint: 'Leave spec.tpm out, or use a host of QEMU: qmp:///DIRECTORY.',
  }),
  networkAdapters: unsupported({
    reason: 'the emulated machine has no network',
    hint: 'Leave spec.networkAdapters out, or use a host of QEMU: qmp:///DIRECTORY.',
  }),
  cloudInit: unsupported({
    reason: 'the emulated machine has no drive for a seed',
    hint: 'Leave spec.cloudInit out, or use a host of QEMU: qmp:///DIRECTORY.',
  }),
  shares: unsupported({
    reason: 'the emulated machine has no device for them',
    hint: 'Copy folders with vm.guest.copyIn() and vm.guest.copyOut(), or use a host of QEMU: qmp:///DIRECTORY.',
  }),
  guest: { way: true, user: true, privateKeyFile: true, host: true, port: true, hostKey: true },
}

/** Throws if the settings ask for something that the machine does not have. */
export const refuseUnsupported = (settings: VmSpec | VmChanges, root: 'spec' | 'changes'): void => {
  const { guest } = settings
  if (guest !== undefined && guest.way !== 'none') throw noSuchWay(root)
  refuseSettings(settings, handled, { driver: 'embedded', root })
}

const noSuchWay = (root: string): NotSupportedError =>
  new NotSupportedError({
    capability: 'spec.guest',
    path: `${root}.guest`,
    reason: `${root}.guest is not supported, but for { way: 'none' }: the emulated machine has neither a network nor a port for an agent`,
    hint: 'Leave it out: programs run in a Linux guest all the same. Or use a host of QEMU: qmp:///DIRECTORY.',
  })

const newDiskFile = (): string => `disk-${randomUUID()}`
export const newMemoryFile = (): string => `memory-${randomUUID()}`

/** The hardware with its disks in new overlays, and the new name of each old overlay. */
export function withNewOverlays(hardware: Hardware): {
  readonly hardware: Hardware
  readonly nameOf: (overlay: string) => string
} {
  const names = new Map(hardware.disks.map(({ overlay }) => [overlay, newDiskFile()]))
  const nameOf = (overlay: string): string => names.get(overlay) ?? overlay
  const disks = hardware.disks.map((disk) => ({ ...disk, overlay: nameOf(disk.overlay) }))
  return { hardware: { ...hardware, disks }, nameOf }
}

/** The hardware of a clone, whose disks have ids of their own. */
export function cloneHardware(hardware: Hardware): ReturnType<typeof withNewOverlays> {
  const disks = hardware.disks.map((disk) => ({ ...disk, id: randomUUID() }))
  return withNewOverlays({ ...hardware, disks })
}

/** How the VM boots. Derived from its settings and drives. */
/** What a machine with this hardware boots: `guest` is the built-in one. */
export const bootKind = ({ boot, disks, cdroms, floppies }: Omit<Hardware, 'images'>): MachineBoot['kind'] => {
  if (boot.kernel !== undefined) return 'linux'
  const hasSomethingToBoot = [...disks, ...cdroms, ...floppies].some(({ image }) => image !== undefined)
  return hasSomethingToBoot || boot.firmware !== undefined ? 'firmware' : 'guest'
}

/** The hardware that a spec or an edit leads to, checked down to the images. */
export async function planHardware(spec: VmChanges, present: Hardware | undefined, root: string): Promise<Hardware> {
  if (spec.cpus !== undefined && spec.cpus !== 1)
    throw wrong(`${root}.cpus`, 'must be 1, which is what the emulated machine has')
  const kept = keepHardware(spec, present ?? { ...noHardware, memoryMiB: systemMemoryMiB }, newDisk)
  const fitting = bootKind(kept) === 'guest' ? guestMemoryMiB : systemMemoryMiB
  const wanted = { ...kept, memoryMiB: spec.memoryMiB ?? present?.memoryMiB ?? fitting }
  check(wanted, root)
  const images = await recordImages({
    wanted,
    present,
    root,
    driver: 'embedded',
    takeDiskImage,
  })
  const hardware = { ...wanted, images }
  const mayNotFit = wanted.boot !== present?.boot || wanted.memoryMiB !== present.memoryMiB
  if (mayNotFit) await checkBootFiles(hardware, `${root}.boot`)
  return hardware
}

const newDisk = (disk: DiskSpec): DiskDefinition => ({ ...disk, id: randomUUID(), overlay: newDiskFile() })

function check(hardware: Omit<Hardware, 'images'>, root: string): void {
  const { memoryMiB } = hardware
  if (memoryMiB < limits.minMemoryMiB || memoryMiB > limits.maxMemoryMiB) {
    throw wrong(
      `${root}.memoryMiB`,
      `must be from ${String(limits.minMemoryMiB)} to ${String(limits.maxMemoryMiB)}, and is ${String(memoryMiB)}`,
    )
  }
  checkDrives(hardware, root, limits)
}

async function takeDiskImage(image: string, path: string): Promise<DiskImage> {
  const found = await readDiskImage(image, path)
  const { format, diskBytes } = found
  if (format !== 'raw') {
    throw new InvalidArgumentError({
      path,
      reason: `${path} must be a raw image for the emulated machine, and ${image} is a ${format} one`,
      hint: 'Convert it: qemu-img convert -O raw OLD NEW. Or use a host of QEMU: qmp:///DIRECTORY.',
    })
  }
  if (diskBytes > limits.maxDiskMiB * mebibyte) {
    throw wrong(path, `must have at most ${String(limits.maxDiskMiB)} MiB, and ${image} has ${String(diskBytes)} bytes`)
  }
  return found
}

/** Checks that kernel and initrd fit into memory together, and firmware into its place, when one of them changes. */
async function checkBootFiles({ boot, memoryMiB }: Hardware, root: string): Promise<void> {
  const bios = firmwareFile(boot.firmware)
  if (bios !== undefined) await readFirmware(bios, boot.videoFirmware, root)
  if (boot.kernel === undefined) return
  const { kernel, initrd } = await readBootFiles(boot.kernel, boot.initrd, root)
  try {
    linuxBootImage({ kernel, initrd, commandLine: boot.commandLine, memoryMiB })
  } catch (error) {
    if (!(error instanceof BootImageError)) throw error
    const path = `${root}.${error.file}`
    throw new InvalidArgumentError({
      path,
      reason: `${path} can't be booted: ${JSON.stringify(boot[error.file])} ${error.reason}`,
      cause: error,
    })
  }
}

const readBootFiles = async (
  kernel: string,
  initrd: string | undefined,
  root: string,
): Promise<{ readonly kernel: Uint8Array; readonly initrd: Uint8Array | undefined }> => ({
  kernel: await readBootFile(kernel, 'kernel', root),
  initrd: initrd === undefined ? undefined : await readBootFile(initrd, 'initrd', root),
})

const bootRoot = 'config.boot'

/** Reads the files that the machine boots from. */
export async function readBoot({ hardware, guest }: Pick<Definition, 'hardware' | 'guest'>): Promise<MachineBoot> {
  const { boot } = hardware
  const { kernel, initrd, commandLine, firmware, videoFirmware } = boot
  if (kernel !== undefined) {
    const files = await readBootFiles(kernel, initrd, bootRoot)
    return { kind: 'linux', ...files, commandLine, ...(guest?.way !== 'none' && withProgram(files, commandLine)) }
  }
  if (bootKind(hardware) === 'guest') return { kind: 'guest' }
  const bios = firmwareFile(firmware)
  const found = bios === undefined ? findFirmware() : readFirmware(bios, videoFirmware, bootRoot)
  return { kind: 'firmware', ...(await found) }
}

/** A Linux with an initrd is given the program by which others run in it. */
const withProgram = (
  { kernel, initrd }: { readonly kernel: Uint8Array; readonly initrd: Uint8Array | undefined },
  commandLine: string | undefined,
): ProgramBoot | undefined =>
  initrd === undefined || findMultibootHeader(kernel) !== undefined ? undefined : withGuestProgram(initrd, commandLine)

const wrong = (path: string, what: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason: `${path} ${what}` })
