import { watch, type FSWatcher } from 'node:fs'
import { inBackground } from '../background.js'
import { errorCode } from '../errors/native.js'

/** Codes if the folder is gone or not readable, or if the system has no watcher left. */
const passing: readonly (string | undefined)[] = [
  ...['ENOENT', 'ENOTDIR', 'EACCES'],
  ...['ENOSPC', 'EMFILE', 'ENFILE', 'ENOMEM'],
]

/** Calls back for each change in a folder, with the file's name if the system reports it. Does not keep the process alive. */
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

  /** Restarts a watcher that failed. Returns true if it was watching all the time, so that no change was missed. */
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
