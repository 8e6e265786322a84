import { stat } from 'node:fs/promises'
import { InvalidArgumentError } from '../../../errors.js'
import type { DriverInputs } from '../../../driver/driver.js'
import { ByteReader } from '../../../files/byte-reader.js'
import { CopyLimit } from '../../../files/copy-limit.js'
import { openSource } from '../../../files/open-source.js'
import { measureFolder, packFolder } from '../../../files/pack-folder.js'
import { tarEnd } from '../../../files/tar-header.js'
import { TarReader } from '../../../files/tar-reader.js'
import { unpackFolder } from '../../../files/unpack-folder.js'
import { writeWholeFile } from '../../../files/whole-file.js'
import { writeWholeFolder } from '../../../files/whole-folder.js'
import type { ProgressUpdate } from '../../../model/host-job.js'
import { ownedBy, type Folder, type OwnerIds, type RegularFile } from './file-tree.js'
import type { FileSystem } from './file-system.js'
import { archiveOf, bytesIn, folderOf, maxCopyBytes, tooLarge } from './folder-archive.js'

const driver = 'simulated'
const mebibyte = 2 ** 20

type Report = (progress: ProgressUpdate) => void

const copying = (done: number, total: number): ProgressUpdate => ({
  phase: 'copying',
  done,
  total: Math.max(done, total),
  unit: 'bytes',
})

/** Reads a file or folder of this machine. Answers what puts the copy into a guest. */
export async function copyIn(
  { from, to, owner }: Omit<DriverInputs['guest.copyIn'], 'vm'>,
  report: Report,
): Promise<(files: FileSystem) => void> {
  const ids = owner === undefined ? undefined : idsOf(owner)
  const isFolder = await stat(from).then(
    (found) => found.isDirectory(),
    // What can't be looked at is refused as a file that can't be read.
    () => false,
  )
  if (isFolder) {
    const folder = await readFolder(from, report)
    return (files) => {
      files.graft(to, ids === undefined ? folder : ownedBy(folder, ids))
    }
  }
  const { content, mode, mtimeMs } = await readLocalFile(from, report)
  return (files) => {
    files.write(to, content, { mode, mtimeMs, ids })
  }
}

/** Writes a file or folder of a guest to this machine. */
export async function copyOut(node: RegularFile | Folder, to: string, report: Report): Promise<void> {
  const { mode, mtimeMs } = node
  if (node.type === 'file') {
    const { content } = node
    await writeWholeFile(to, driver, async ({ file, isNew, requireRoom }) => {
      await requireRoom(content.byteLength)
      await file.writeFile(content)
      if (isNew) await file.chmod(mode & 0o777)
      await file.utimes(mtimeMs / 1000, mtimeMs / 1000)
      report(copying(content.byteLength, content.byteLength))
    })
    return
  }
  const total = bytesIn(node)
  await writeWholeFolder(to, driver, async (draft) => {
    const tar = new TarReader(new ByteReader(archiveOf(node)))
    const onWritten = (done: number): void => {
      report(copying(done, total))
    }
    await unpackFolder(tar, draft, { maxBytes: total, onWritten })
  })
}

async function readLocalFile(
  from: string,
  report: Report,
): Promise<{ readonly content: Uint8Array; readonly mode: number; readonly mtimeMs: number }> {
  const { file, size, mode, mtime } = await openSource(from)
  try {
    if (size > maxCopyBytes) throw tooLarge()
    const limit = new CopyLimit(size)
    const pieces: Buffer[] = []
    for (;;) {
      const length = Math.min(mebibyte, limit.left)
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length)
      if (bytesRead === 0) return { content: Buffer.concat(pieces), mode, mtimeMs: mtime.getTime() }
      limit.add(bytesRead)
      pieces.push(buffer.subarray(0, bytesRead))
      report(copying(limit.done, limit.total))
    }
  } finally {
    await file.close()
  }
}

async function readFolder(from: string, report: Report): Promise<Folder> {
  const total = await measureFolder(from, driver)
  if (total > maxCopyBytes) throw tooLarge()
  async function* archive(): AsyncGenerator<Buffer> {
    yield* packFolder(from, {
      as: '.',
      driver,
      onPacked: (done) => {
        report(copying(done, total))
      },
    })
    yield tarEnd()
  }
  return await folderOf(archive())
}

/** A simulated guest knows users and groups by number, and root. */
function idsOf(owner: string): OwnerIds {
  const [user = '', group = user] = owner.split(':')
  const idOf = (name: string): number => {
    if (name === 'root') return 0
    if (/^\d{1,10}$/.test(name)) return Number(name)
    throw new InvalidArgumentError({
      path: 'options.owner',
      reason: `options.owner is ${JSON.stringify(owner)}, and the simulated guest has no ${JSON.stringify(name)}`,
      hint: 'Give numbers.',
    })
  }
  return { uid: idOf(user), gid: idOf(group) }
}
