/*
 * ISO 9660 (ECMA-119) with the Joliet extension: a folder with some files that are never written to. Readers that know Joliet take the
 * names from there; others see them in upper case, which Linux shows in lower case.
 *
 * Layout, in sectors: 16 and 17 the two volume descriptors, 18 their end, 19 to 22 two path tables for each, 23 and 24 the two root
 * folders, and then the files. All is as old as the epoch, so that the same files give the same bytes.
 */

const sectorBytes = 2048
const descriptorSector = 16
const firstTableSector = 19
const firstFolderSector = 23
const firstFileSector = 25
const pathTableBytes = 10

/** How one of the two trees writes its names. */
interface Tree {
  readonly index: 0 | 1
  /** 1: primary, 2: supplementary (ECMA-119, 8.1.1). */
  readonly kind: 1 | 2
  /** UCS-2 level 3 for Joliet; none for the primary tree. */
  readonly escape: string
  readonly text: (value: string) => Buffer
  readonly fileName: (name: string) => Buffer
}

const utf16be = (value: string): Buffer => Buffer.from(value, 'utf16le').swap16()

const trees: readonly Tree[] = [
  {
    index: 0,
    kind: 1,
    escape: '',
    text: (value) => Buffer.from(value, 'ascii'),
    fileName: (name) => Buffer.from(`${name.toUpperCase()}.;1`, 'ascii'),
  },
  { index: 1, kind: 2, escape: '%/E', text: utf16be, fileName: (name) => utf16be(`${name};1`) },
]

interface PlacedFile {
  readonly name: string
  readonly content: Buffer
  readonly sector: number
}

/**
 * An image with these files in its root folder.
 *
 * @param label at most 16 ASCII characters
 * @param files by name: at most 28 letters, digits and `-`, at most 10 of them
 */
export function isoImage(label: string, files: ReadonlyMap<string, string>): Uint8Array {
  let sector = firstFileSector
  const placed = [...files].map(([name, text]): PlacedFile => {
    const content = Buffer.from(text)
    const file = { name, content, sector }
    sector += Math.ceil(content.length / sectorBytes)
    return file
  })
  const image = Buffer.alloc(sector * sectorBytes)
  const put = (bytes: Buffer, at: number): void => {
    bytes.copy(image, at * sectorBytes)
  }
  for (const tree of trees) {
    put(descriptor(tree, label, sector), descriptorSector + tree.index)
    put(pathTable(tree, 'LE'), firstTableSector + 2 * tree.index)
    put(pathTable(tree, 'BE'), firstTableSector + 2 * tree.index + 1)
    put(folder(tree, placed), firstFolderSector + tree.index)
  }
  put(Buffer.from([255, ...Buffer.from('CD001'), 1]), descriptorSector + trees.length)
  for (const { content, sector: at } of placed) put(content, at)
  return image
}

/** A volume descriptor (8.4, 8.5). */
function descriptor(tree: Tree, label: string, sectors: number): Buffer {
  const { index, kind, escape, text } = tree
  const block = Buffer.alloc(sectorBytes)
  const blank = text(' ')
  const field = (from: number, to: number, value = ''): void => {
    const area = block.subarray(from, to)
    area.fill(blank)
    // A field of an odd length has one byte left over.
    if (area.length % blank.length !== 0) area[area.length - 1] = 0
    text(value).copy(area)
  }
  block[0] = kind
  block.write('CD001', 1, 'ascii')
  block[6] = 1
  field(8, 40)
  field(40, 72, label)
  both32(block, 80, sectors)
  block.write(escape, 88, 'ascii')
  both16(block, 120, 1)
  both16(block, 124, 1)
  both16(block, 128, sectorBytes)
  both32(block, 132, pathTableBytes)
  block.writeUInt32LE(firstTableSector + 2 * index, 140)
  block.writeUInt32BE(firstTableSector + 2 * index + 1, 148)
  rootEntry(tree, 0).copy(block, 156)
  field(190, 318)
  field(318, 446)
  field(446, 574)
  field(574, 702, 'AWAITVM')
  field(702, 739)
  field(739, 776)
  field(776, 813)
  // Creation, modification, expiration and effect: not specified (8.4.26.1).
  for (const at of [813, 830, 847, 864]) block.write('0'.repeat(16), at, 'ascii')
  block[881] = 1
  return block
}

/** The table of folders (9.4), of which there is one. */
function pathTable({ index }: Tree, order: 'LE' | 'BE'): Buffer {
  const table = Buffer.alloc(pathTableBytes)
  table[0] = 1
  table[`writeUInt32${order}`](firstFolderSector + index, 2)
  table[`writeUInt16${order}`](1, 6)
  return table
}

/** The root folder: itself, its parent, which is itself, and the files in the order of their names (9.3). */
function folder(tree: Tree, files: readonly PlacedFile[]): Buffer {
  const entries = files
    .map(({ name, content, sector }) => ({ name: tree.fileName(name), sector, bytes: content.length, flags: 0 }))
    .sort((one, other) => Buffer.compare(one.name, other.name))
    .map(entry)
  return Buffer.concat([rootEntry(tree, 0), rootEntry(tree, 1), ...entries])
}

/** The root folder as itself (0), or as its parent (1). */
const rootEntry = ({ index }: Tree, name: 0 | 1): Buffer =>
  entry({ name: Buffer.from([name]), sector: firstFolderSector + index, bytes: sectorBytes, flags: 2 })

interface Entry {
  readonly name: Buffer
  readonly sector: number
  readonly bytes: number
  /** 2: a folder. */
  readonly flags: number
}

/** An entry of a folder (9.1). */
function entry({ name, sector, bytes, flags }: Entry): Buffer {
  const length = 33 + name.length + ((name.length + 1) % 2)
  const record = Buffer.alloc(length)
  record[0] = length
  both32(record, 2, sector)
  both32(record, 10, bytes)
  // 1 January 1970, in UTC: year since 1900, month, day.
  record.set([70, 1, 1], 18)
  record[25] = flags
  both16(record, 28, 1)
  record[32] = name.length
  name.copy(record, 33)
  return record
}

function both16(block: Buffer, at: number, value: number): void {
  block.writeUInt16LE(value, at)
  block.writeUInt16BE(value, at + 2)
}

function both32(block: Buffer, at: number, value: number): void {
  block.writeUInt32LE(value, at)
  block.writeUInt32BE(value, at + 4)
}
