import { chmodSync, statSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { InvalidArgumentError } from '../errors.js'
import { errorCode } from '../errors/native.js'
import { makeFolders } from '../files/make-folders.js'
import { problemWith, remedyFor } from './file-problem.js'
import { readOwnFile, requireOwner, requireOwnFolder } from './own-file.js'
import { draftPrefix, replaceFile, syncFolder } from './replace-file.js'
import { parseJson } from './written-json.js'

const maxMarkerBytes = 64 * 1024
/** Permissions of the group and of all others. */
const othersRights = 0o077

/** The file that marks a directory of a driver's VMs. */
export const markerOf = (driver: string): string => `awaitvm-${driver}.json`

/** What a directory is opened for. */
export interface RootOptions {
  /** The driver whose VMs are in it. */
  readonly driver: string
  /** The parameter with the path, for errors. */
  readonly path: string
}

/**
 * Creates a directory of VMs, or accepts an existing one. It must belong to this user, be closed to all other users, and have
 * this driver's VMs. An empty directory is closed here; one with VMs that other users could have changed is refused.
 */
export async function openRoot(root: string, options: RootOptions): Promise<void> {
  const { driver, path } = options
  await makeFolder(root, path)
  requireOwnRoot(root, driver)
  const marker = join(root, markerOf(driver))
  const isMarked = checkMarker(marker, driver)
  if (!isMarked) {
    await requireEmpty(root, options)
    chmodSync(root, 0o700)
    const content = `${JSON.stringify({ format: `awaitvm-${driver}`, version: 1 })}\n`
    await replaceFile(marker, content)
  }
  requireClosed(root, path)
  const vms = join(root, 'vms')
  await makeFolder(vms, path)
  try {
    requireOwnFolder(vms)
  } catch (error) {
    throw problemWith(vms, error, { driver, hint: 'Put the folder of the VMs back there.' })
  }
  requireClosed(vms, path)
  if (!isMarked) await syncFolder(root)
}

/** Whether the marker exists; throws if it has other content than it should. */
function checkMarker(marker: string, driver: string): boolean {
  try {
    const schema = v.object({ format: v.literal(`awaitvm-${driver}`), version: v.literal(1) })
    parseJson(schema, readOwnFile(marker, maxMarkerBytes))
    return true
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false
    throw problemWith(marker, error, { driver, hint: `${remedyFor(error)}: it says what the directory is.` })
  }
}

async function makeFolder(folder: string, path: string): Promise<void> {
  try {
    await makeFolders(folder)
  } catch (error) {
    const code = errorCode(error)
    if (code !== 'EEXIST' && code !== 'ENOTDIR') throw error
    const what = code === 'EEXIST' ? 'is not a directory' : 'has a file in the place of a directory'
    const reason = `the path ${folder} ${what}`
    throw new InvalidArgumentError({ path, reason, hint: 'Name an empty or a new directory.', cause: error })
  }
}

function requireOwnRoot(root: string, driver: string): void {
  try {
    requireOwner(root, statSync(root))
  } catch (error) {
    // Links in a directory of another user could lead anywhere, and would be followed with this user's permissions.
    throw problemWith(root, error, { driver, hint: 'Name a directory of your own, or connect as that user.' })
  }
}

async function requireEmpty(root: string, { driver, path }: RootOptions): Promise<void> {
  const name = markerOf(driver)
  const others = (await readdir(root)).filter((other) => !other.startsWith(draftPrefix) && other !== name)
  // Another process may have created the marker in the meantime.
  if (others.length === 0 || checkMarker(join(root, name), driver)) return
  throw new InvalidArgumentError({
    path,
    reason: `the directory ${root} holds other files and no ${name}`,
    hint: 'Name an empty or a new directory.',
  })
}

function requireClosed(folder: string, path: string): void {
  const { mode } = statSync(folder)
  if (process.platform === 'win32' || (mode & othersRights) === 0) return
  throw new InvalidArgumentError({
    path,
    reason: `the directory ${folder} is open to other users: it has the mode 0${(mode & 0o777).toString(8)}`,
    hint: `Check that nobody has changed its VMs, and close it: chmod 700 ${folder}`,
  })
}
