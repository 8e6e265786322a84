import { chmodSync, statSync } from 'node:fs'
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import * as v from 'valibot'
import { InvalidArgumentError } from '../errors.js'
import { errorCode } from '../errors/native.js'
import { problemWith, remedyFor } from './file-problem.js'
import { readOwnFile, requireOwner, requireOwnFolder } from './own-file.js'
import { draftPrefix, replaceFile, syncFolder } from './replace-file.js'
import { parseJson } from './written-json.js'

const maxMarkerBytes = 64 * 1024
/** The rights of the group and of all others. */
const othersRights = 0o077

/** The file that says whose VMs a directory has. */
export const markerOf = (driver: string): string => `awaitvm-${driver}.json`

/** What a directory is opened for. */
export interface RootOptions {
  /** The driver whose VMs are in it. */
  readonly driver: string
  /** The parameter that names it, for errors. */
  readonly path: string
}

/**
 * Makes a directory of VMs, or takes one that is there: of this user, closed to all others, and of this kind of VMs. An empty
 * one is closed; one with VMs that others may have changed is not trusted.
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

/** Whether the file is there, and says what it is to say. */
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
    await mkdir(folder, { recursive: true, mode: 0o700 })
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
    // Its links could lead anywhere, and who follows them with more rights would do it for their maker.
    throw problemWith(root, error, { driver, hint: 'Name a directory of your own, or connect as that user.' })
  }
}

async function requireEmpty(root: string, { driver, path }: RootOptions): Promise<void> {
  const name = markerOf(driver)
  const others = (await readdir(root)).filter((other) => !other.startsWith(draftPrefix) && other !== name)
  // Another process may have been faster.
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
    hint: `See that its VMs are what they are to be, and close it: chmod 700 ${folder}`,
  })
}
