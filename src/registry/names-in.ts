import { readdir } from 'node:fs/promises'
import { errorCode } from '../errors/native.js'

/** The names in a folder; none before something has made it. */
export async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder)
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return []
    throw error
  }
}
