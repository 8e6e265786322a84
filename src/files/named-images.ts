import type { MediaDrive } from '../model/vm-changes.js'
import type { BootConfig, VmConfig } from '../model/vm-config.js'

/** The settings of a VM that name images. */
export interface ImageSettings extends Pick<VmConfig, 'disks' | 'boot'> {
  readonly cdroms: readonly MediaDrive[]
  readonly floppies: readonly MediaDrive[]
}

/** An image, and the setting that names it: `disks[0].image`. */
export interface NamedImage {
  readonly kind: keyof ImageSettings
  readonly path: string
  readonly image: string
}

/** The files that a VM boots; settings that name no file have none. */
const bootFiles = ({ kernel, initrd, firmware, videoFirmware }: BootConfig): Files => ({
  kernel,
  initrd,
  commandLine: undefined,
  firmware,
  videoFirmware,
  order: undefined,
})

type Files = Readonly<Record<keyof BootConfig, string | undefined>>

/** Every image that a VM is made of, in the order of its settings. */
export const namedImages = (settings: ImageSettings): NamedImage[] => [
  ...inDrives('disks', settings.disks),
  ...inDrives('cdroms', settings.cdroms),
  ...inDrives('floppies', settings.floppies),
  ...Object.entries(bootFiles(settings.boot)).flatMap(([key, image]) => named('boot', `boot.${key}`, image)),
]

const inDrives = (kind: 'disks' | 'cdroms' | 'floppies', drives: readonly MediaDrive[]): NamedImage[] =>
  drives.flatMap(({ image }, index) => named(kind, `${kind}[${String(index)}].image`, image))

const named = (kind: NamedImage['kind'], path: string, image: string | undefined): NamedImage[] =>
  image === undefined ? [] : [{ kind, path, image }]
