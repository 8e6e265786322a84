import type { ImageConverter } from '../../../images/image-converter.js'
import { findDiskImage } from '../hardware/hardware.js'
import type { DiskImages } from './disk-images.js'

/** Converts images of other programs by `qemu-img`. */
export const converterBy = (images: DiskImages): ImageConverter => ({
  driver: 'qmp',
  find: findDiskImage,
  measure: (image, signal) => images.measure(image, { signal }),
  convert: (image, to, { signal, onProgress }) =>
    images.convert(image, to, {
      signal,
      onProgress: (percent) => {
        onProgress({ percent, phase: 'converting image' })
      },
    }),
})
