import { join } from 'node:path'
import { isForeign, type ForeignFormat } from '../../../images/foreign-disk.js'
import type { DiskDefinition, Hardware } from '../definition.js'
import type { ProgramOptions } from '../process/qemu-program.js'
import { newBaseFile, type KnownImages } from './disk-chain.js'
import type { DiskImages } from './disk-images.js'

/** The image of another format that a disk was made of. Its content is in a base of the disk, and it is not needed any more. */
export function convertedImage(
  { image }: Pick<DiskDefinition, 'image'>,
  { images }: KnownImages,
): { readonly image: string; readonly format: ForeignFormat } | undefined {
  const format = image === undefined ? undefined : images[image]?.disk?.format
  return image !== undefined && format !== undefined && isForeign(format) ? { image, format } : undefined
}

/** The hardware with a base for each new disk whose image has to be converted. */
export const withBases = (hardware: Hardware): Hardware => ({
  ...hardware,
  disks: hardware.disks.map((disk) =>
    disk.bases === undefined && convertedImage(disk, hardware) !== undefined
      ? { ...disk, bases: [newBaseFile()] }
      : disk,
  ),
})

/** Makes the bases of new disks whose images have to be converted. */
export async function convertImages(
  images: DiskImages,
  folder: string,
  disks: readonly DiskDefinition[],
  known: KnownImages,
  { signal, onProgress }: ProgramOptions,
): Promise<void> {
  const found = disks.flatMap((disk) => {
    const [base] = disk.bases ?? []
    const source = convertedImage(disk, known)
    return base === undefined || source === undefined ? [] : [{ base, source }]
  })
  for (const [index, { base, source }] of found.entries()) {
    await images.convert(source, join(folder, base), {
      signal,
      onProgress: (percent) => onProgress?.((100 * index + percent) / found.length),
    })
  }
}
