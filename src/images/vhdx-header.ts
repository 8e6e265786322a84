import { damaged, difference, type ImageProblem } from './image-problem.js'
import { has, type ImageSample } from './image-sample.js'

/** Where the list of regions is, in Microsoft's [MS-VHDX]; its copy follows at 256 KiB. */
const regionTable = { at: 192 * 1024, headerBytes: 16, entryBytes: 32, maxEntries: 2047 }
const metadataTable = { headerBytes: 32, entryBytes: 32, maxEntries: 2047 }

/** GUIDs, as they are in the file. */
const metadataRegion = Buffer.from('06a27c8b90479a4bb8fe575f050f886e', 'hex')
const virtualSize = Buffer.from('2442a52f1bcd7648b2115dbed83bf4b8', 'hex')
const fileParameters = Buffer.from('3767a1ca36fa434db3b633f0aa44e76b', 'hex')
const hasParent = 2

/** The size of the disk in an image of Hyper-V. */
export async function readVhdxBytes({ head, read }: ImageSample): Promise<bigint | ImageProblem | undefined> {
  if (!has(head, 0, 'vhdxfile')) return undefined
  const regions = await read(regionTable.at, 64 * 1024)
  const region = has(regions, 0, 'regi') ? findEntry(regions, 8, regionTable, metadataRegion) : undefined
  if (region === undefined) return damaged('is a vhdx image without a list of its parts')
  const place = Number(region.readBigUInt64LE(16))
  const table = await read(place, 64 * 1024)
  const itemOf = async (id: Buffer): Promise<Buffer | undefined> => {
    const entry = has(table, 0, 'metadata') ? findEntry(table, 10, metadataTable, id) : undefined
    const item = entry && (await read(place + entry.readUInt32LE(16), 8))
    return item?.length === 8 ? item : undefined
  }
  const [size, parameters] = [await itemOf(virtualSize), await itemOf(fileParameters)]
  if (size === undefined || parameters === undefined) return damaged('is a vhdx image that does not tell its size')
  if ((parameters.readUInt32LE(4) & hasParent) !== 0) return difference('vhdx')
  return size.readBigUInt64LE(0)
}

interface Table {
  readonly headerBytes: number
  readonly entryBytes: number
  readonly maxEntries: number
}

/** The entry of a table that begins with this GUID. */
function findEntry(table: Buffer, countAt: number, layout: Table, id: Buffer): Buffer | undefined {
  if (table.length < layout.headerBytes) return undefined
  const count = Math.min(table.readUInt16LE(countAt), layout.maxEntries)
  for (let index = 0; index < count; index += 1) {
    const start = layout.headerBytes + index * layout.entryBytes
    const entry = table.subarray(start, start + layout.entryBytes)
    if (entry.length === layout.entryBytes && has(entry, 0, id)) return entry
  }
  return undefined
}
