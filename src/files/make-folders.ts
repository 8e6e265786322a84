import { statSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { dirname } from 'node:path'
import { errorCode } from '../errors/native.js'

/**
 * Makes a folder for this user alone, and those above it, unless they are there. The `recursive` of Node never ends at a parent that
 * takes no folders, as /proc, and calls a folder of a read-only file system missing.
 */
export async function makeFolders(folder: string): Promise<void> {
  try {
    await makeFolder(folder)
  } catch (error) {
    const parent = dirname(folder)
    if (errorCode(error) !== 'ENOENT' || parent === folder) throw error
    await makeFolders(parent)
    await makeFolder(folder)
  }
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder, { mode: 0o700 })
  } catch (error) {
    // Systems differ in the error for one that is there.
    if (!isFolder(folder)) throw error
  }
}

function isFolder(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    // The error of making it says more.
    return false
  }
}
