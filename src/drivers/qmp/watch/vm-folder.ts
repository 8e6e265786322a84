import { inBackground } from '../../../background.js'
import { FolderWatcher } from '../../../files/folder-watcher.js'
import { parseClaim } from '../../../registry/claim.js'
import { definitionFile } from '../../../registry/definition-file.js'
import { cutLog } from '../logs/cut-log.js'
import { runLogs, type RunLog } from '../logs/kept-part.js'
import { lastChange } from '../logs/last-change.js'
import { runFiles } from '../run-files.js'

interface Listener {
  /** While true, changes of files are ignored: they are this connection's own. */
  isBusy(): boolean
  /** Another process may have changed the VM, or its guest does something else. */
  onChange(): void
  /** The guest may have printed something. */
  onPrinted(): void
}

/** The folder of a VM, as it is watched. It shows what other processes and the guest do, since each of them writes there. */
export class VmFolder {
  readonly #path: string
  readonly #listener: Listener
  readonly #watcher: FolderWatcher
  /** Logs that may have grown since they were last cut. */
  readonly #grown = new Set<RunLog>(runLogs)
  /** The last event in QEMU's log that changes what the guest does. */
  #lastChange: string | undefined
  /** The owner of this connection's last claim on the VM: its files may be seen after its end. */
  ownClaim: string | undefined

  constructor(path: string, listener: Listener) {
    this.#path = path
    this.#listener = listener
    this.#watcher = new FolderWatcher(path, (file) => {
      if (file !== null) this.#hear(file)
    })
  }

  /** Watches the folder again if that has ended; false if it can't be watched, and has to be looked at from time to time. */
  renew(): boolean {
    return this.#watcher.renew()
  }

  cutLogs(): void {
    for (const log of this.#grown) {
      inBackground(`Cutting ${log} in ${this.#path}`, () => {
        cutLog(this.#path, log)
        this.#grown.delete(log)
      })
    }
  }

  close(): void {
    this.#watcher.close()
  }

  #hear(file: string): void {
    const log = runLogs.find((known) => known === file)
    if (log !== undefined) this.#grown.add(log)
    if (file === runFiles.console) this.#listener.onPrinted()
    else if (!this.#listener.isBusy() && this.#isChange(file)) this.#listener.onChange()
  }

  /** A process claims a VM before it changes it, and releases the claim afterwards. */
  #isChange(file: string): boolean {
    const claim = parseClaim(file)
    const isOthers = claim !== undefined && claim.owner !== this.ownClaim
    return isOthers || file === definitionFile || (file === runFiles.eventLog && this.#hasChanged())
  }

  #hasChanged(): boolean {
    try {
      const before = this.#lastChange
      this.#lastChange = lastChange(this.#path)
      return this.#lastChange !== before
    } catch {
      // Any line of a log that can't be read may tell of a change.
      return true
    }
  }
}
