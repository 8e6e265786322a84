import { InsufficientResourcesError, InvalidArgumentError } from '../../errors.js'
import { CopyLimit } from '../../files/copy-limit.js'
import { openSource } from '../../files/open-source.js'
import { writeWholeFile } from '../../files/whole-file.js'
import type { SimulatedVm } from './simulated-vm.js'

/** Simulated guests keep their files in memory. */
const maxFileMiB = 256
const mebibyte = 2 ** 20

/** Reads a file of this machine that is copied into a guest. */
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

/** Writes a file of this machine completely, or not at all. */
export const writeLocalFile = (path: string, content: Uint8Array): Promise<void> =>
  writeWholeFile(path, 'simulated', ({ file }) => file.writeFile(content))

/** The folders at the root of every guest (Filesystem Hierarchy Standard 3.0). */
const rootFolders = new Set('bin boot dev etc home lib media mnt opt proc root run sbin srv sys tmp usr var'.split(' '))

/** The devices of every guest. */
const devices = new Set(['null', 'zero', 'full', 'random', 'urandom', 'tty', 'console'].map((name) => `/dev/${name}`))

/** Throws if the path is a folder or a device of the guest. */
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
 * Throws if the guest has no folder for the file: the path begins with a folder that is not one of {@link rootFolders}, and has no
 * file in it. Deeper folders are taken to exist, and so are those of a path that is not a POSIX path.
 */
export function requireFolder({ content }: SimulatedVm, path: string): void {
  const [, folder] = /^\/+([^/]+)\//.exec(path) ?? []
  if (folder === undefined || rootFolders.has(folder)) return
  for (const file of content.files.keys()) if (file.startsWith(`/${folder}/`)) return
  throw new InvalidArgumentError({
    path: 'to',
    reason: `the guest has no folder /${folder}`,
    hint: 'Create it by writing a file there in the test.',
  })
}

/** The content of a file of the guest; `undefined` if there is no such file. */
export function readGuestFile({ name, content }: SimulatedVm, path: string): Uint8Array | undefined {
  const written = content.files.get(path)
  return written ?? (path === '/etc/hostname' ? new TextEncoder().encode(`${name}\n`) : undefined)
}
