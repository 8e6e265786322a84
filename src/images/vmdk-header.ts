import { damaged, type ImageProblem } from './image-problem.js'
import { has, type ImageSample } from './image-sample.js'

const sectorBytes = 512n
/** More than a description of one file ever has. */
const maxDescriptionBytes = 20n * 1024n
/** Kinds that are one file. */
const wholeKinds: ReadonlySet<string | undefined> = new Set(['monolithicSparse', 'streamOptimized'])

/**
 * The size of the disk in an image of VMware, by its "Virtual Disk Format 5.0". Refused are those that name other files: the
 * description of a split disk, one of its parts, and a difference to another disk.
 */
export async function readVmdkBytes({ head, read }: ImageSample): Promise<bigint | ImageProblem | undefined> {
  if (has(head, 0, '# Disk DescriptorFile')) return split('is only the description of a vmdk image')
  if (has(head, 0, 'COWD')) return split('is an old vmdk image or a part of one')
  if (!has(head, 0, 'KDMV')) return undefined
  if (head.length < Number(sectorBytes)) return damaged('is a vmdk image that ends within its header')
  const sectors = head.readBigUInt64LE(12)
  const [offset, length] = [head.readBigUInt64LE(28), head.readBigUInt64LE(36)]
  if (sectors === 0n || offset === 0n || length === 0n) return split('is only a part of a vmdk image')
  if (offset > 2n ** 32n || length > 2n ** 32n) return damaged('is a vmdk image whose description is not in the file')
  const bytes = length * sectorBytes
  const place = Number(offset * sectorBytes)
  const text = (await read(place, Number(bytes < maxDescriptionBytes ? bytes : maxDescriptionBytes))).toString('latin1')
  if (!wholeKinds.has(/^\s*createType\s*=\s*"(\w+)"/m.exec(text)?.[1])) return split('is only a part of a vmdk image')
  if (!/^\s*parentCID\s*=\s*f{8}\s*$/im.test(text))
    return split('is a vmdk image that is only the difference to another one')
  return sectors * sectorBytes
}

const split = (reason: string): ImageProblem => ({
  reason,
  hint: 'If you trust it, make one file of all its parts: qemu-img convert -f vmdk -O qcow2 DESCRIPTION.vmdk NEW.',
})
