import { styleText } from 'node:util'

type Style = Parameters<typeof styleText>[0]

/** The tour's output: numbered steps, each with its code and its outcome. */
export class Page {
  /** True on a terminal that can colour and redraw lines. */
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

  /** True on a terminal with 24-bit colours. */
  get hasAllColours(): boolean {
    return this.isLive && this.#stream.getColorDepth() >= 24
  }

  /** The width of the terminal, in characters. */
  get columns(): number {
    // A terminal of unknown size reports 0.
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
