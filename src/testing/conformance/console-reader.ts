import type { Duplex } from 'node:stream'
import { within } from './deadline.js'

/** Reads a serial console as text, and waits for expected output. */
export class ConsoleReader {
  readonly stream: Duplex
  readonly #closed: Promise<Error | undefined>
  #text = ''
  #seen = 0
  readonly #waiting = new Set<() => void>()

  constructor(stream: Duplex) {
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

  /** Types a line and Enter. */
  send(line: string): void {
    this.stream.write(`${line}\r`)
  }

  /** Waits until the output matches, from the end of the last match on. */
  async until(pattern: string | RegExp, timeoutMs?: number): Promise<RegExpExecArray> {
    const expression = typeof pattern === 'string' ? new RegExp(escape(pattern)) : pattern
    let check: () => void = () => undefined
    const found = new Promise<RegExpExecArray>((resolve, reject) => {
      check = () => {
        const match = expression.exec(this.#text.slice(this.#seen))
        if (match !== null) {
          this.#seen += match.index + match[0].length
          resolve(match)
        } else if (this.stream.closed) {
          reject(
            new Error(`The console closed before it said ${String(pattern)}. It said ${JSON.stringify(this.#text)}`),
          )
        }
      }
    })
    this.#waiting.add(check)
    check()
    try {
      return await within(
        found,
        () => `${String(pattern)} on the console, which said ${JSON.stringify(this.#text)}`,
        timeoutMs,
      )
    } finally {
      this.#waiting.delete(check)
    }
  }

  /** Types a line, and waits for the answer. */
  async ask(line: string, answer: string | RegExp): Promise<RegExpExecArray> {
    this.send(line)
    return await this.until(answer)
  }

  /** Waits until the console is closed; answers the error that destroyed it, if any. */
  async untilClosed(timeoutMs?: number): Promise<Error | undefined> {
    return await within(
      this.#closed,
      () => `the end of the console, which said ${JSON.stringify(this.#text)}`,
      timeoutMs,
    )
  }

  close(): void {
    this.stream.destroy()
  }
}

const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
