import { stripVTControlCharacters } from 'node:util'

/** Matches the prompt of a shell or a login, but no line of the kernel's log. */
const prompt = /^(?!\[ *\d+\.\d+\]).*[#$%>:?] ?$/
/** If a chunk ends in what only looks like a prompt, more text follows within this time. */
const promptMs = 300
/** Longer than a booting kernel stays silent, even on a heavily loaded machine. */
const silenceMs = 120_000

/** Detects when a booting guest begins to accept input; input that is typed earlier is lost. */
export class FirstPrompt {
  /** Settles at the first prompt, or when a guest falls silent after printing something. */
  readonly seen: Promise<void>
  #settle: () => void = () => undefined
  #timer: NodeJS.Timeout | undefined
  #lastLine = ''

  constructor() {
    this.seen = new Promise((resolve) => {
      this.#settle = resolve
    })
  }

  see(chunk: Uint8Array): void {
    const text = this.#lastLine + Buffer.from(chunk).toString('latin1')
    this.#lastLine = text.slice(text.lastIndexOf('\n') + 1).slice(-200)
    clearTimeout(this.#timer)
    const isPrompt = prompt.test(stripVTControlCharacters(this.#lastLine))
    this.#timer = setTimeout(this.#settle, isPrompt ? promptMs : silenceMs)
  }

  /** Settles `seen` at once and clears the timer. */
  stopWaiting(): void {
    clearTimeout(this.#timer)
    this.#settle()
  }
}
