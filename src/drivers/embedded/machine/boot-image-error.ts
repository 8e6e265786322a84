export type BootImageFile = 'kernel' | 'initrd' | 'commandLine' | 'firmware'

/** A kernel, initrd, command line or firmware that cannot be booted. `reason` completes the sentence "the kernel ...". */
export class BootImageError extends Error {
  override readonly name = 'BootImageError'
  readonly file: BootImageFile
  readonly reason: string

  constructor(file: BootImageFile, reason: string) {
    super(`The ${file === 'commandLine' ? 'kernel command line' : file} ${reason}`)
    this.file = file
    this.reason = reason
  }
}
