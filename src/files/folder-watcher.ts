import { watch, type FSWatcher } from 'node:fs'
import { inBackground } from '../background.js'
import { errorCode } from '../errors/native.js'

/** The folder is gone, or can't be read, so that nothing can be heard of it, or the system has no watcher left for the moment. */
const passing: readonly (string | undefined)[] = [
  ...['ENOENT', 'ENOTDIR', 'EACCES'],
  ...['ENOSPC', 'EMFILE', 'ENFILE', 'ENOMEM'],
]

/** Calls back whenever something happens to a file of a folder, with its name where the system tells it; keeps no process alive. */
export class FolderWatcher {
  readonly #folder: string
  readonly #onChange: (file: string | null) => void
  #watcher: FSWatcher | undefined
  #isClosed = false

  constructor(folder: string, onChange: (file: string | null) => void) {
    this.#folder = folder
    this.#onChange = onChange
    this.renew()
  }

  /** Watches again where the system could not; whether it has watched all the time, so that nothing was missed. */
  renew(): boolean {
    if (this.#watcher !== undefined || this.#isClosed) return true
    try {
      const watcher = watch(this.#folder, { persistent: false }, (_type, file) => {
        inBackground(`Watching ${this.#folder}`, () => {
          this.#onChange(file)
        })
      })
      watcher.on('error', () => {
        watcher.close()
        this.#watcher = undefined
      })
      this.#watcher = watcher
    } catch (error) {
      if (!passing.includes(errorCode(error))) throw error
    }
    return false
  }

  close(): void {
    this.#isClosed = true
    this.#watcher?.close()
  }
}
