import { existsSync, statSync } from 'node:fs'
import { opendir, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { InvalidArgumentError } from '../../../errors.js'
import { errorCode, nativeErrorOf } from '../../../errors/native.js'
import { asKept, type KeptShare, type ShareConfig } from '../../../model/share.js'
import { markerOf } from '../../../registry/directory-root.js'
import { requireVirtiofs } from './virtiofsd.js'

/** What a share is checked for: the parameter with the shares, and the directory of VMs that its VM is in. */
interface Place {
  readonly root: string
  readonly directory: string
}

/** Folders through which a process changes the kernel or its own memory. */
const ofKernel = ['/proc', '/sys', '/dev']
/** Drivers that keep VMs in directories. */
const keepers = ['qmp', 'embedded']

/** The shares of a spec or an edit with the real paths of their folders. Throws if one can't be shared. */
export async function resolveShares(shares: readonly ShareConfig[], place: Place): Promise<KeptShare[]> {
  const resolved: KeptShare[] = []
  for (const [index, wanted] of shares.entries()) {
    const parameter = parameterOf(place, index)
    const path = await realFolder(wanted.path, `${parameter}.path`, place.directory, 'Name a folder that exists.')
    const share = asKept({ ...wanted, path })
    if (share.type === 'virtiofs') requireVirtiofs(share, parameter)
    resolved.push(share)
  }
  return resolved
}

const takeAway = 'or take the share away with vm.edit({ shares }) while the VM is stopped'
const dropSnapshot = 'or delete the snapshot with vm.deleteSnapshot()'

/**
 * Throws unless the folders of a VM or a snapshot can be shared, right before a QEMU is started with them. A guest that may write to a
 * folder above could have put a link in the place of one.
 */
export async function requireShares(
  shares: readonly KeptShare[],
  directory: string,
  of: 'config' | 'snapshot',
): Promise<void> {
  const wayOut = of === 'snapshot' ? dropSnapshot : takeAway
  for (const [index, share] of shares.entries()) {
    const parameter = `${parameterOf({ root: of }, index)}.path`
    const found = await realFolder(share.path, parameter, directory, `Put the folder back, ${wayOut}.`)
    if (found === share.path) continue
    throw wrong(
      parameter,
      `${share.path} was a folder, and is a link to ${found} now`,
      `Put the folder back, ${wayOut}.`,
    )
  }
}

const parameterOf = ({ root }: Pick<Place, 'root'>, index: number): string => `${root}.shares[${String(index)}]`

const wrong = (path: string, reason: string, hint: string): InvalidArgumentError =>
  new InvalidArgumentError({ path, reason, hint })

const problems: Readonly<Record<string, string>> = { ENOENT: 'is not there', ENOTDIR: 'is no folder' }

/** The real path of a folder that may be shared. */
async function realFolder(path: string, parameter: string, directory: string, hint: string): Promise<string> {
  try {
    const found = await realpath(path)
    await (await opendir(found)).close()
    const danger = dangerOf(found, await realpath(directory))
    if (danger === undefined) return found
    throw wrong(
      parameter,
      `${path} ${danger}`,
      'Share a folder of its own, with nothing in it but what the guest is to see.',
    )
  } catch (error) {
    if (error instanceof InvalidArgumentError) throw error
    const native = nativeErrorOf('qmp', error)
    const why = problems[errorCode(error) ?? ''] ?? `can't be read: ${native.message}`
    const reason = `the folder to share, ${path}, ${why}`
    throw new InvalidArgumentError({ path: parameter, reason, hint, cause: error, native })
  }
}

/** What a guest could do with a folder that it must not, as a clause; `undefined` if it may have the folder. */
function dangerOf(folder: string, directory: string): string | undefined {
  if (ofKernel.some((other) => folder === other || folder.startsWith(`${other}/`))) return 'is a folder of the kernel'
  const above = withParents(folder)
  if (isAmong(folder, withParents(directory))) return `contains the VMs of ${directory}, which the guest could change`
  if (isAmong(directory, above)) return `is among the VMs of ${directory}, which the guest could change`
  const other = above.find((each) => keepers.some((driver) => existsSync(join(each, markerOf(driver)))))
  return other === undefined ? undefined : `is among the VMs of ${other}, which the guest could change`
}

/** By what they are and not by their names: a file system may have several names for a folder. */
function isAmong(folder: string, others: readonly string[]): boolean {
  const { dev, ino } = statSync(folder)
  return others.some((other) => {
    const found = statSync(other, { throwIfNoEntry: false })
    return found?.ino === ino && found.dev === dev
  })
}

function withParents(folder: string): string[] {
  const parent = dirname(folder)
  return parent === folder ? [folder] : [folder, ...withParents(parent)]
}
