import { BootImageError } from './boot-image-error.js'
import type { EmulatorOptions } from './emulator.js'
import { builtInGuest } from './guest.js'
import { linuxBootImage } from './linux.js'
import type { OpenedMedia } from './media.js'
import type { BootDevice, MachineSpec } from './protocol.js'
import type { EmulatorCode } from './emulator-code.js'

const mebibyte = 0x10_0000
/** Enough for 1024 x 768 in 32 bits. */
const videoMemoryMiB = 4
/** Larger firmware would overlap the video BIOS just below it. */
const maxFirmwareBytes = 0x2_0000

/** `loadsBootImage` is false if memory comes from a saved state. */
export const emulatorOptions = (
  spec: MachineSpec,
  code: EmulatorCode,
  media: OpenedMedia,
  { loadsBootImage }: { readonly loadsBootImage: boolean },
): EmulatorOptions => ({
  code,
  memoryBytes: spec.memoryMiB * mebibyte,
  videoMemoryBytes: videoMemoryMiB * mebibyte,
  ...bootOptions(spec, loadsBootImage),
  ...media,
  bootOrder: bootOrder(spec),
})

const bootOptions = (spec: MachineSpec, loadsBootImage: boolean): Partial<EmulatorOptions> => {
  const { boot } = spec
  switch (boot.kind) {
    case 'guest':
      return loadsBootImage ? { multiboot: builtInGuest().buffer } : {}
    case 'linux': {
      if (!loadsBootImage) return {}
      const { image, initrd, commandLine } = linuxBootImage({ ...boot, memoryMiB: spec.memoryMiB })
      return { multiboot: image, initrd, commandLine }
    }
    case 'firmware': {
      if (boot.bios.byteLength === 0 || boot.bios.byteLength > maxFirmwareBytes) {
        throw new BootImageError(
          'firmware',
          `has ${String(boot.bios.byteLength)} bytes; up to ${String(maxFirmwareBytes)} fit`,
        )
      }
      const videoBios = boot.videoBios && Uint8Array.from(boot.videoBios).buffer
      // The ROM is mapped at the top of the address space, which a saved state does not include.
      return { bios: Uint8Array.from(boot.bios).buffer, videoBios }
    }
  }
}

const bootDigits = { floppy: 1, disk: 2, cdrom: 3 } as const satisfies Record<BootDevice, number>

/** One digit for each device, the first one lowest, in the form of the CMOS. */
const bootOrder = ({ bootOrder: order, floppies, disks }: MachineSpec): number => {
  const devices =
    order !== undefined && order.length > 0
      ? order
      : defaultBootOrder(
          floppies?.some((floppy) => floppy !== undefined),
          disks?.length,
        )
  return devices.slice(0, 3).reduceRight((digits, device) => (digits << 4) | bootDigits[device], 0)
}

const defaultBootOrder = (hasFloppy = false, disks = 0): readonly BootDevice[] => [
  ...(hasFloppy ? (['floppy'] as const) : []),
  ...(disks > 0 ? (['disk'] as const) : []),
  'cdrom',
]
