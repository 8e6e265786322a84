import { stripVTControlCharacters } from 'node:util'

/** A shell's or a login's, but no line of the kernel's log. */
const prompt = /^(?!\[ *\d+\.\d+\]).*[#$%>:?] ?$/
/** More text follows at once where the end of a chunk only looked like a prompt. */
const promptMs = 300
/** Longer than a kernel that boots says nothing, also on a machine with many times its load. */
const silenceMs = 120_000

/** Finds out when a guest that boots begins to listen: what is typed earlier is lost. */
export class FirstPrompt {
  /** Settles at the first prompt, or when a guest that had something to say has become silent. */
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

  /** Lets go of whoever waits. */
  stopWaiting(): void {
    clearTimeout(this.#timer)
    this.#settle()
  }
}
