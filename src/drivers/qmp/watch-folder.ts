import { watch, type FSWatcher } from 'node:fs'
import { errorCode } from '../../errors/native.js'

/**
 * Calls back whenever something happens to a file of the folder, with its name where the system tells it; keeps no process
 * alive. Nothing where there can be no watcher for one of the reasons that are `expected`.
 */
export function watchFolder(
  folder: string,
  expected: readonly string[],
  onChange: (file: string | null) => void,
): FSWatcher | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, (_type, file) => {
      onChange(file)
    })
    watcher.on('error', () => {
      watcher.close()
    })
    return watcher
  } catch (error) {
    if (expected.includes(errorCode(error) ?? '')) return undefined
    throw error
  }
}
