/** Why a file can't be the image of a disk. */
export interface ImageProblem {
  /** Follows the name of the file: `is a PNG picture, not a disk`. */
  readonly reason: string
  readonly hint: string
}

export const isProblem = (found: object): found is ImageProblem => 'reason' in found

/** A header that contradicts itself or the file. */
export const damaged = (reason: string): ImageProblem => ({
  reason,
  hint: 'The file is damaged or incomplete: fetch or make it again.',
})

/** An image that is a disk only together with the files that its header names, which are never opened. */
export const dependent = (reason: string, format: string): ImageProblem => ({
  reason,
  hint: `If you trust it, make one file of it: qemu-img convert -f ${format} -O qcow2 OLD NEW.`,
})

/** An image that has only the changes to another one, of a format of which `qemu-img` can't read such images. */
export const difference = (format: string): ImageProblem => ({
  reason: `is a ${format} image that is only the difference to another one`,
  hint: 'Merge the two, or export the disk, with the program that made them.',
})
