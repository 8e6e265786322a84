import type { ProgressUpdate } from '../model/host-job.js'
import type { DiskImage } from './disk-image.js'
import type { ForeignImage } from './foreign-disk.js'

/** A host's means to make qcow2 files of images of other formats. */
export interface ImageConverter {
  /** The driver's name, for errors. */
  readonly driver: string
  /**
   * Finds out what an image is. Throws if the host can't use it, converted or as it is.
   *
   * @param path the parameter with the image, for errors
   */
  find(image: string, path: string): Promise<DiskImage>
  /** The most bytes that the qcow2 file may have. */
  measure(image: ForeignImage, signal: AbortSignal): Promise<number>
  /** Makes the file, which must be new. If that fails, there is none. */
  convert(image: ForeignImage, to: string, options: ConvertOptions): Promise<void>
}

interface ConvertOptions {
  readonly signal: AbortSignal
  readonly onProgress: (update: ProgressUpdate) => void
}
