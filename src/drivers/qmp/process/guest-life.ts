import { statSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { runFiles } from '../run-files.js'
import { readLogFrom } from '../logs/run-log-reader.js'
import { readRun, type RunRecord } from './run-record.js'

const reset = '"event": "RESET"'

/**
 * The present life of a guest. It ends with its QEMU, also if the VM is suspended and resumed, and with a reset. After that, the
 * agent's numbers of programs and files mean other ones.
 */
export class GuestLife {
  readonly #folder: string
  readonly #run: RunRecord
  #seen: number
  #hasReset = false

  constructor(folder: string, run: RunRecord) {
    this.#folder = folder
    this.#run = run
    this.#seen = this.#size()
  }

  async isOver(): Promise<boolean> {
    if (readRun(this.#folder)?.startedAt !== this.#run.startedAt) return true
    if (!this.#hasReset && this.#size() > this.#seen) {
      const text = (await readLogFrom(this.#folder, runFiles.eventLog, this.#seen)).toString('latin1')
      this.#hasReset = text.includes(reset)
      // The last line may be incomplete.
      this.#seen += text.lastIndexOf('\n') + 1
    }
    return this.#hasReset
  }

  #size(): number {
    try {
      return statSync(join(this.#folder, runFiles.eventLog)).size
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return 0
      throw error
    }
  }
}
