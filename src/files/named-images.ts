import { firmwareFile } from '../model/boot-firmware.js'
import type { MediaDrives } from '../model/vm-changes.js'
import type { BootConfig, MediaConfig, VmConfig } from '../model/vm-config.js'

/** The settings of a VM that name files. */
export interface ImageSettings extends Pick<VmConfig, 'disks' | 'boot'>, MediaDrives {
  /** The firmware in flash memory, if the host has found it by itself: `boot.firmware` only says what kind it is. */
  readonly flash?: { readonly code: string } | undefined
}

/** An image, and the path of its setting: `disks[0].image`. */
export interface NamedImage {
  readonly kind: Exclude<keyof ImageSettings, 'flash'>
  readonly path: string
  readonly image: string
}

/** The files in the settings of what is booted; `undefined` for settings that name no file. */
const bootFiles = ({ boot: { kernel, initrd, firmware, videoFirmware }, flash }: ImageSettings): Files => ({
  kernel,
  initrd,
  commandLine: undefined,
  secureBoot: undefined,
  firmware: flash?.code ?? firmwareFile(firmware),
  videoFirmware,
  order: undefined,
})

type Files = Readonly<Record<keyof BootConfig, string | undefined>>

/** All images of a VM, in the order of its settings. */
export const namedImages = (settings: ImageSettings): NamedImage[] => [
  ...inDrives('disks', settings.disks),
  ...inDrives('cdroms', settings.cdroms),
  ...inDrives('floppies', settings.floppies),
  ...Object.entries(bootFiles(settings)).flatMap(([key, image]) => named('boot', `boot.${key}`, image)),
]

const inDrives = (kind: 'disks' | 'cdroms' | 'floppies', drives: readonly MediaConfig[]): NamedImage[] =>
  drives.flatMap(({ image }, index) => named(kind, `${kind}[${String(index)}].image`, image))

const named = (kind: NamedImage['kind'], path: string, image: string | undefined): NamedImage[] =>
  image === undefined ? [] : [{ kind, path, image }]
