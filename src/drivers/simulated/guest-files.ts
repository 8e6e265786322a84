import { InsufficientResourcesError, InvalidArgumentError } from '../../errors.js'
import { CopyLimit } from '../../files/copy-limit.js'
import { openSource } from '../../files/open-source.js'
import { writeWholeFile } from '../../files/whole-file.js'
import type { SimulatedVm } from './simulated-vm.js'

/** Guests on paper keep their files in memory. */
const maxFileMiB = 256
const mebibyte = 2 ** 20

/** The content of a file of this machine that goes into a guest. */
export async function readLocalFile(path: string): Promise<Uint8Array> {
  const { file, size } = await openSource(path)
  try {
    if (size > maxFileMiB * mebibyte) {
      throw new InsufficientResourcesError({
        reason: `${path} has ${String(size)} bytes, and a simulated guest takes files of up to ${String(maxFileMiB)} MiB`,
      })
    }
    const limit = new CopyLimit(size)
    const pieces: Buffer[] = []
    for (;;) {
      const length = Math.min(mebibyte, limit.left)
      const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length)
      if (bytesRead === 0) return Buffer.concat(pieces)
      limit.add(bytesRead)
      pieces.push(buffer.subarray(0, bytesRead))
    }
  } finally {
    await file.close()
  }
}

/** Writes a file of this machine, whole or not at all. */
export const writeLocalFile = (path: string, content: Uint8Array): Promise<void> =>
  writeWholeFile(path, 'simulated', ({ file }) => file.writeFile(content))

/** The folders that every guest has at its root (Filesystem Hierarchy Standard 3.0). */
const rootFolders = new Set('bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var'.split(' '))

/** What every guest has in /dev. */
const devices = new Set(['null', 'zero', 'full', 'random', 'urandom', 'tty', 'console'].map((name) => `/dev/${name}`))

/** Throws where the path is not one of a regular file. */
export function requireRegular({ content }: SimulatedVm, path: string, parameter: 'from' | 'to'): void {
  const clean = path.replace(/\/+/g, '/').replace(/(?<=.)\/$/, '')
  const isFolder =
    clean === '/' ||
    rootFolders.has(clean.slice(1)) ||
    [...content.files.keys()].some((file) => file.startsWith(`${clean}/`))
  if (!isFolder && !devices.has(clean)) return
  const what = isFolder ? 'is a folder' : 'is no regular file'
  throw new InvalidArgumentError({ path: parameter, reason: `${path} ${what} in the guest` })
}

/**
 * Throws where no file can be made at this path: the folder at the guest's root is none of the usual ones, and has no file in
 * it. Below that, folders are taken to be there; so are those of a path that is not one of a POSIX system.
 */
export function requireFolder({ content }: SimulatedVm, path: string): void {
  const [, folder] = /^\/+([^/]+)\//.exec(path) ?? []
  if (folder === undefined || rootFolders.has(folder)) return
  for (const file of content.files.keys()) if (file.startsWith(`/${folder}/`)) return
  throw new InvalidArgumentError({
    path: 'to',
    reason: `the guest has no folder /${folder}`,
    hint: 'A file that the test writes there makes one.',
  })
}

/** A file of the guest. */
export function readGuestFile({ name, content }: SimulatedVm, path: string): Uint8Array | undefined {
  const written = content.files.get(path)
  return written ?? (path === '/etc/hostname' ? new TextEncoder().encode(`${name}\n`) : undefined)
}
