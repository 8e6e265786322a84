import type { Readable } from 'node:stream'
import { within } from './deadline.js'

/** Reads a stream as text, and waits for expected output. */
export class OutputReader<Stream extends Readable = Readable> {
  readonly stream: Stream
  readonly #closed: Promise<Error | undefined>
  #text = ''
  #seen = 0
  readonly #waiting = new Set<() => void>()

  constructor(stream: Stream) {
    this.stream = stream
    let failure: Error | undefined
    stream.on('data', (chunk: Buffer) => {
      this.#text += chunk.toString('latin1')
      for (const check of this.#waiting) check()
    })
    stream.on('error', (error) => {
      failure = error
    })
    this.#closed = new Promise((resolve) => {
      stream.once('close', () => {
        resolve(failure)
        for (const check of this.#waiting) check()
      })
    })
  }

  /** All output so far. */
  get text(): string {
    return this.#text
  }

  /** Waits until the output matches, from the end of the last match on. */
  async until(pattern: string | RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    const expression = typeof pattern === 'string' ? new RegExp(escape(pattern)) : pattern
    let check: () => void = () => undefined
    const found = new Promise<RegExpExecArray>((resolve, reject) => {
      check = () => {
        const match = expression.exec(this.#text.slice(this.#seen))
        if (match !== null) {
          // More output may come before this wait goes on, and is for the next one.
          this.#waiting.delete(check)
          this.#seen += match.index + match[0].length
          resolve(match)
        } else if (this.stream.closed) {
          reject(new Error(`The output ended before it had ${String(pattern)}. It was ${JSON.stringify(this.#text)}`))
        }
      }
    })
    this.#waiting.add(check)
    check()
    try {
      return await within(
        found,
        () => `${String(pattern)} in the output, which was ${JSON.stringify(this.#text)}`,
        timeoutMs,
      )
    } finally {
      this.#waiting.delete(check)
    }
  }

  /** Waits until the stream is closed; answers the error that destroyed it, if any. */
  async untilClosed(timeoutMs?: number): Promise<Error | undefined> {
    return await within(this.#closed, () => `the end of the output, which was ${JSON.stringify(this.#text)}`, timeoutMs)
  }

  close(): void {
    this.stream.destroy()
  }
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
