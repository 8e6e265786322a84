import { statSync } from 'node:fs'
import { join } from 'node:path'
import { errorCode } from '../../../errors/native.js'
import { runFiles } from '../run-files.js'
import { readLogFrom } from '../logs/run-log-reader.js'
import { readRun, type RunRecord } from './run-record.js'

const reset = '"event": "RESET"'

/**
 * The life of a guest from now on. It ends with its QEMU, also where the VM was suspended and resumed, and with a reset. The
 * numbers that its agent gives to programs and files mean others in the next life.
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
      // QEMU may be about to write the rest of the last line.
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
