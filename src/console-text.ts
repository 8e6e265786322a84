import { StringDecoder } from 'node:string_decoder'

/** Most characters that are kept; the log of a kernel that boots has some 60,000. */
const maxLength = 262_144

/** The text of a console since its mark, as far as it is kept. */
export class ConsoleText {
  readonly #decoder = new StringDecoder('utf8')
  readonly #waiting = new Set<() => void>()
  #text = ''
  #isCheckDue = false

  push(bytes: Uint8Array): void {
    this.#text += this.#decoder.write(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength))
    // Cut seldom, since each cut copies.
    if (this.#text.length > 2 * maxLength) this.#text = this.#text.slice(-maxLength)
    this.tell()
  }

  /** Forgets the text: from now on, only what is printed later is found. */
  mark(): void {
    this.#text = ''
  }

  /** The first match since the mark, which moves behind it. */
  take(pattern: RegExp): RegExpExecArray | undefined {
    const match = pattern.exec(this.#text.slice(-maxLength))
    if (match === null) return undefined
    this.#text = match.input.slice(match.index + match[0].length)
    return match
  }

  /** Calls the listener after changes until the returned function is called; those who came first are called first. */
  listen(listener: () => void): () => void {
    this.#waiting.add(listener)
    return () => void this.#waiting.delete(listener)
  }

  /** Once for all pieces of a turn of the event loop: a guest may print byte by byte. */
  tell(): void {
    if (this.#isCheckDue || this.#waiting.size === 0) return
    this.#isCheckDue = true
    setImmediate(() => {
      this.#isCheckDue = false
      for (const check of this.#waiting) check()
    })
  }
}
