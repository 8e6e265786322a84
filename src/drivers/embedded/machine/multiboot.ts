import { BootImageError } from './boot-image-error.js'

const headerMagic = 0x1badb002
const searchBytes = 8192
const addressFields = 0x10000
const elfMagic = 0x464c457f

/** Offset of the multiboot header, or `undefined` if there is none in the first 8 KiB. */
export const findMultibootHeader = (image: Uint8Array): number | undefined => {
  const view = viewOf(image)
  for (let offset = 0; offset + 12 <= Math.min(image.byteLength, searchBytes); offset += 4) {
    if (view.getUint32(offset, true) !== headerMagic) continue
    const sum = headerMagic + view.getUint32(offset + 4, true) + view.getUint32(offset + 8, true)
    if (sum % 0x1_0000_0000 === 0) return offset
  }
  return undefined
}

/** Throws {@link BootImageError} if the loader would read outside of the image or write outside of memory. */
export const checkMultibootImage = (image: Uint8Array, header: number, memoryBytes: number): void => {
  const view = viewOf(image)
  const flags = view.getUint32(header + 4, true)
  if ((flags & 0xfffc & ~0x10000) !== 0) {
    throw new BootImageError('kernel', `asks for multiboot features that are not there (flags 0x${flags.toString(16)})`)
  }
  if ((flags & addressFields) !== 0) checkAddressFields(image, header, memoryBytes)
  else checkProgramHeaders(image, memoryBytes)
}

const checkAddressFields = (image: Uint8Array, header: number, memoryBytes: number): void => {
  if (header + 32 > image.byteLength) throw new BootImageError('kernel', 'is cut off in its multiboot header')
  const view = viewOf(image)
  const headerAddress = view.getUint32(header + 12, true)
  const loadAddress = view.getUint32(header + 16, true)
  const loadEnd = view.getUint32(header + 20, true)
  const fileStart = header - (headerAddress - loadAddress)
  const length = loadEnd === 0 ? image.byteLength - fileStart : loadEnd - loadAddress
  if (loadAddress > headerAddress || fileStart < 0 || length < 0 || fileStart + length > image.byteLength) {
    throw new BootImageError('kernel', 'has a multiboot header whose addresses do not match the file')
  }
  if (loadAddress + length >= memoryBytes) throw doesNotFit(loadAddress + length, memoryBytes)
}

const checkProgramHeaders = (image: Uint8Array, memoryBytes: number): void => {
  const view = viewOf(image)
  if (image.byteLength < 52 || view.getUint32(0, true) !== elfMagic || image[4] !== 1) {
    throw new BootImageError(
      'kernel',
      'has a multiboot header, but is neither a 32-bit ELF file nor gives its addresses',
    )
  }
  const table = view.getUint32(28, true)
  const count = view.getUint16(44, true)
  if (view.getUint16(42, true) !== 32 || table + count * 32 > image.byteLength) {
    throw new BootImageError('kernel', 'is cut off in its ELF program headers')
  }
  for (let entry = table; entry < table + count * 32; entry += 32) {
    if (view.getUint32(entry, true) !== 1) continue
    const fileEnd = view.getUint32(entry + 4, true) + view.getUint32(entry + 16, true)
    const memoryEnd = view.getUint32(entry + 12, true) + view.getUint32(entry + 20, true)
    if (fileEnd > image.byteLength) throw new BootImageError('kernel', 'is cut off: its ELF segments end past the file')
    if (memoryEnd >= memoryBytes) throw doesNotFit(memoryEnd, memoryBytes)
  }
}

const doesNotFit = (end: number, memoryBytes: number): BootImageError =>
  new BootImageError(
    'kernel',
    `does not fit into memory: it needs ${String(Math.ceil(end / 0x10_0000))} MiB, there are ${String(memoryBytes / 0x10_0000)}`,
  )

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
