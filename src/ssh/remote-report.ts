import { Transform, type TransformCallback } from 'node:stream'
import { ReportsInOutput } from '../guest/reports-in-output.js'
import type { Ending } from './host-program.js'

/** Bytes of what ssh and the program say that are kept for an error. */
const keptBytes = 2000

/**
 * Takes the reports of the script at the other end out of the standard error: the process id of the program, and how the program
 * ended.
 */
export class RemoteReport extends Transform {
  readonly mark: string
  /** Signals that were sent to the program. */
  readonly sent = new Set<'INT' | 'KILL'>()
  readonly #reports: ReportsInOutput
  #pid: number | undefined
  #exitCode: number | undefined
  #isMissing = false
  #said = ''
  #waiting: ((pid: number) => void)[] = []

  constructor(mark: string) {
    super()
    this.mark = mark
    this.#reports = new ReportsInOutput(mark, /^(?:missing|pid|end) \d{1,10}$/)
  }

  get hasBegun(): boolean {
    return this.#pid !== undefined
  }

  /** Calls back once the program has begun; not at all once it has ended. */
  whenBegun(action: (pid: number) => void): void {
    if (this.#pid === undefined) this.#waiting.push(action)
    else if (this.#exitCode === undefined) action(this.#pid)
  }

  /** How the program ended, given how the connection did. */
  ending(connection: Ending): Ending {
    if (connection.kind === 'not-begun') return connection
    if (this.#isMissing) {
      return { kind: 'not-begun', error: Object.assign(new Error('no such program on the host'), { code: 'ENOENT' }) }
    }
    if (this.#exitCode !== undefined) {
      // The shell's code for a signal may be the program's own exit code, unless that signal was sent.
      if (this.#exitCode === 128 + 2 && this.sent.has('INT')) return { kind: 'signal', signal: 'SIGINT' }
      if (this.#exitCode === 128 + 9 && this.sent.has('KILL')) return { kind: 'signal', signal: 'SIGKILL' }
      return { kind: 'exit', code: this.#exitCode }
    }
    const said = this.#said.trim() || 'the connection ended'
    // A connection that was cut may have brought the program there.
    if (this.#pid !== undefined || connection.kind === 'signal') return { kind: 'lost', reason: said }
    const isDenied = /permission denied|host key verification failed|too many authentication failures/i.test(said)
    return { kind: 'not-begun', error: Object.assign(new Error(said), isDenied ? { code: 'EAUTH' } : {}) }
  }

  override _transform(piece: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    this.#said = `${this.#said}${piece.toString()}`.slice(-keptBytes)
    for (const item of this.#reports.take(piece)) {
      if (typeof item === 'string') this.#report(item)
      else this.push(item)
    }
    done()
  }

  override _flush(done: TransformCallback): void {
    this.push(this.#reports.rest())
    done()
  }

  #report(words: string): void {
    const [verb, digits] = words.split(' ')
    const number = Number(digits)
    if (verb === 'missing') this.#isMissing = true
    if (verb === 'end') this.#exitCode = number
    if (verb !== 'pid') return
    this.#pid = number
    for (const action of this.#waiting) action(number)
    this.#waiting = []
  }
}
