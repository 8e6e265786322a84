export interface Segment {
  /** Physical address. */
  readonly address: number
  readonly bytes: Uint8Array
}

const headerSize = 52
const programHeaderSize = 32
const multibootMagic = 0x1badb002

/** A 32-bit x86 ELF executable with a multiboot header, which the emulator loads segment by segment. */
export const elf32Image = (entry: number, segments: readonly Segment[]): ArrayBuffer => {
  const multibootOffset = headerSize + programHeaderSize * segments.length
  const contentOffset = multibootOffset + 12
  const buffer = new ArrayBuffer(segments.reduce((size, { bytes }) => size + bytes.byteLength, contentOffset))
  const bytes = new Uint8Array(buffer)
  const view = new DataView(buffer)

  bytes.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1])
  view.setUint16(16, 2, true) // ET_EXEC
  view.setUint16(18, 3, true) // EM_386
  view.setUint32(20, 1, true)
  view.setUint32(24, entry, true)
  view.setUint32(28, headerSize, true)
  view.setUint16(40, headerSize, true)
  view.setUint16(42, programHeaderSize, true)
  view.setUint16(44, segments.length, true)
  view.setUint16(46, 40, true)

  view.setUint32(multibootOffset, multibootMagic, true)
  view.setUint32(multibootOffset + 8, -multibootMagic, true)

  let offset = contentOffset
  segments.forEach((segment, index) => {
    const header = headerSize + programHeaderSize * index
    const size = segment.bytes.byteLength
    view.setUint32(header, 1, true) // PT_LOAD
    view.setUint32(header + 4, offset, true)
    view.setUint32(header + 8, segment.address, true)
    view.setUint32(header + 12, segment.address, true)
    view.setUint32(header + 16, size, true)
    view.setUint32(header + 20, size, true)
    view.setUint32(header + 24, 7, true)
    bytes.set(segment.bytes, offset)
    offset += size
  })
  return buffer
}
