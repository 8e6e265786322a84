/** An image in the cache of this computer, which all hosts on it share. */
export interface CachedImage {
  /** Names it, by its checksum: `'sha256-9f86d081…'`; a file of this computer that was unpacked or converted is a `'file-…'`. */
  readonly id: string
  /**
   * The file, for the settings of VMs. That of a fetched image depends on its checksum only: an image that was removed and is fetched
   * again is the same to the VMs that start from it.
   */
  readonly path: string
  /** Where it is from, without credentials: the URL, or the file that was unpacked or converted. */
  readonly source: string
  /** The bytes of the file, or those that are there already, with those of what it was converted to. */
  readonly sizeBytes: number
  /** Whether all of it is there. An incomplete one was interrupted, and goes on when it is fetched again. */
  readonly isComplete: boolean
  /** The names of the VMs of this host whose disks start from it, or from what it was converted to. */
  readonly usedBy: readonly string[]
}
