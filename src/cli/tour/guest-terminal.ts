import { stripVTControlCharacters } from 'node:util'
import type { ConsoleStream } from '../../index.js'

/** Talks to a guest over its serial console, line by line. */
export class GuestTerminal implements Disposable {
  readonly #console: ConsoleStream
  readonly #lines: AsyncIterator<string, undefined>

  constructor(console: ConsoleStream) {
    this.#console = console
    this.#lines = linesOf(console)
  }

  /** Reads the next line that the guest prints. */
  async readLine(): Promise<string> {
    const { value } = await this.#lines.next()
    if (value === undefined) throw new Error('The guest has ended')
    return value
  }

  /** Types a line, and waits until the guest has echoed it. */
  async type(line: string): Promise<void> {
    this.#console.write(`${line}\r`)
    while ((await this.readLine()) !== line);
  }

  /** Types a line, and returns the line that the guest prints in reply. */
  async ask(line: string): Promise<string> {
    await this.type(line)
    return await this.readLine()
  }

  [Symbol.dispose](): void {
    this.#console.destroy()
  }
}

async function* linesOf(source: ConsoleStream): AsyncGenerator<string, undefined> {
  let text = ''
  source.setEncoding('utf8')
  for await (const chunk of source) {
    text += String(chunk)
    const lines = text.split('\r\n')
    text = lines.pop() ?? ''
    yield* lines.map(printable)
  }
  return undefined
}

/** Removes control characters: a guest is untrusted, and its output must not control the terminal. */
const printable = (text: string): string => stripVTControlCharacters(text).replace(/\p{C}/gu, '')
