import { Transform, type TransformCallback } from 'node:stream'
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
  #pending = Buffer.alloc(0)
  #pid: number | undefined
  #exitCode: number | undefined
  #isMissing = false
  #said = ''
  #waiting: ((pid: number) => void)[] = []

  constructor(mark: string) {
    super()
    this.mark = mark
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
    this.#pending = Buffer.concat([this.#pending, piece])
    this.#take(false)
    done()
  }

  override _flush(done: TransformCallback): void {
    this.#take(true)
    done()
  }

  /** Passes on what can't be the beginning of a report. */
  #take(isLast: boolean): void {
    for (;;) {
      const from = this.#pending.indexOf(this.mark)
      const end = from < 0 ? -1 : this.#pending.indexOf('\n', from)
      if (end < 0) break
      const [, verb, number] = this.#pending.toString('latin1', from, end).split(' ')
      this.push(this.#pending.subarray(0, from))
      this.#pending = this.#pending.subarray(end + 1)
      this.#report(verb, Number(number))
    }
    const kept = isLast
      ? 0
      : Math.min(this.#pending.length, this.#pending.includes(this.mark) ? Infinity : this.mark.length)
    this.push(this.#pending.subarray(0, this.#pending.length - kept))
    this.#pending = this.#pending.subarray(this.#pending.length - kept)
  }

  #report(verb: string | undefined, number: number): void {
    if (verb === 'missing') this.#isMissing = true
    if (verb === 'end') this.#exitCode = number
    if (verb !== 'pid') return
    this.#pid = number
    for (const action of this.#waiting) action(number)
    this.#waiting = []
  }
}
