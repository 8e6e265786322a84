import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** What the tour writes: numbered steps, each with the code that does it and what came of it. */
export class Page {
  /** Whether it is a terminal on which lines can be coloured and drawn again. */
  readonly isLive: boolean
  readonly #stream: NodeJS.WriteStream
  #steps = 0

  private constructor(stream: NodeJS.WriteStream, isLive: boolean) {
    this.#stream = stream
    this.isLive = isLive
  }

  static on(stream: NodeJS.WriteStream): Page {
    const { NO_COLOR, CI, TERM } = process.env
    return new Page(stream, stream.isTTY && !NO_COLOR && !CI && TERM !== 'dumb')
  }

  /** Whether a picture can be drawn in its own colours, of 24 bits. */
  get hasAllColours(): boolean {
    return this.isLive && this.#stream.getColorDepth() >= 24
  }

  /** The width of the terminal, in characters. */
  get columns(): number {
    // A terminal that does not know its size says 0.
    return this.#stream.columns || 80
  }

  title(text: string): void {
    this.write(`${this.style('bold', text)}\n`)
  }

  step(title: string): void {
    this.#steps += 1
    this.write(`\n${this.style('bold', `${this.#steps}. ${title}`)}\n`)
  }

  code(line: string): void {
    this.write(`${margin}${this.style('cyan', `> ${line}`)}\n`)
  }

  say(text: string): void {
    this.write(`${this.#wrap(text).replace(/^/gm, margin)}\n`)
  }

  style(style: Style, text: string): string {
    return this.isLive ? styleText(style, text) : text
  }

  write(text: string): void {
    this.#stream.write(text)
  }

  #wrap(text: string): string {
    if (!this.isLive) return text
    const room = Math.max(20, this.columns - margin.length)
    return text.replace(new RegExp(`(.{1,${room}})( +|$)`, 'g'), '$1\n').trimEnd()
  }
}

const margin = '   '
