export interface ArchiveEntry {
  readonly path: string
  readonly mode: number
  readonly content?: Uint8Array
  readonly device?: readonly [major: number, minor: number]
}

/** A cpio archive in the "newc" format of an initramfs. */
export const newcArchive = (entries: readonly ArchiveEntry[]): Buffer => {
  const trailer = { path: 'TRAILER!!!', mode: 0 }
  return Buffer.concat([...entries, trailer].map((entry, index) => newcEntry(entry, index + 1)))
}

const newcEntry = (entry: ArchiveEntry, inode: number): Buffer => {
  const name = Buffer.from(`${entry.path}\0`)
  const content = entry.content ?? Buffer.alloc(0)
  const [major, minor] = entry.device ?? [0, 0]
  const fields = [inode, entry.mode, 0, 0, 1, 0, content.byteLength, 0, 0, major, minor, name.byteLength, 0]
  const header = Buffer.from(`070701${fields.map((value) => value.toString(16).padStart(8, '0')).join('')}`)
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(Buffer.from(content))])
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc(-bytes.byteLength & 3)])
