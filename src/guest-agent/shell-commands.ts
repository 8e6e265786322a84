import { inBackground } from '../background.js'
import type { Agent, GuestAgent } from './agent.js'
import { closeFile, openFile, writeFile, writeNewFile } from './agent-file.js'

/** What is sent at once, and how often that before the shell has taken it: less than a pipe holds, 64 KiB. */
const maxSentBytes = 8 * 1024
const maxUntaken = 4

/** Who waits for the shell to take what it was sent. */
export interface ShellListener {
  /** Resolves when something may have been taken. */
  tick(): Promise<void>
  /** Called if sending fails: if `hasBegun`, the shell may have got a part. If `isOver` then, nothing is sent any more. */
  onError(error: unknown, hasBegun: boolean): Promise<void>
  isOver(): boolean
}

/** The pipe by which the shell in a guest gets its commands, in their order. */
export class ShellCommands {
  readonly #guest: GuestAgent
  readonly #folder: string
  /** The agent's number of the pipe. */
  readonly #handle: number
  readonly #listener: ShellListener
  readonly #lines: string[] = []
  #files = 0
  #untaken = 0
  #isSending = false

  private constructor(guest: GuestAgent, folder: string, handle: number, listener: ShellListener) {
    this.#guest = guest
    this.#folder = folder
    this.#handle = handle
    this.#listener = listener
  }

  static async open(guest: GuestAgent, folder: string, listener: ShellListener): Promise<ShellCommands> {
    const handle = await guest.turn((agent) => openFile(agent, `${folder}/c`, 'r+'))
    return new ShellCommands(guest, folder, handle, listener)
  }

  send(lines: string): void {
    this.#lines.push(`${lines}\n`)
    if (!this.#isSending) inBackground(`VM ${this.#guest.vm}: sending to the shell in its guest`, () => this.#flush())
  }

  /** Notes that the shell has taken what was sent first. */
  noteTaken(): void {
    this.#untaken -= 1
  }

  /** Sends all that was not sent yet, and a last line. */
  async end(line: string): Promise<void> {
    const text = `${this.#lines.splice(0).join('')}${line}\n`
    await this.#guest.turn(async (agent) => {
      await writeFile(agent, this.#handle, Buffer.from(text))
      await closeFile(agent, this.#handle)
    })
  }

  async #flush(): Promise<void> {
    this.#isSending = true
    try {
      while (this.#lines.length > 0 && !this.#listener.isOver()) {
        if (this.#untaken >= maxUntaken) await this.#listener.tick()
        else await this.#sendOnce()
      }
    } finally {
      this.#isSending = false
    }
  }

  async #sendOnce(): Promise<void> {
    const attempt = { hasBegun: false }
    try {
      await this.#guest.turn((agent) => {
        attempt.hasBegun = true
        return this.#sendNext(agent)
      })
    } catch (error) {
      await this.#listener.onError(error, attempt.hasBegun)
    }
  }

  async #sendNext(agent: Agent): Promise<void> {
    let text = ''
    for (let line = this.#lines[0]; line !== undefined; line = this.#lines[0]) {
      if (text !== '' && text.length + line.length > maxSentBytes) break
      this.#lines.shift()
      text += line.length > maxSentBytes ? await this.#leave(agent, line) : line
    }
    this.#untaken += 1
    await writeFile(agent, this.#handle, Buffer.from(`${text}taken\n`))
  }

  /** Writes a long line to a file. Returns the line that executes it. */
  async #leave(agent: Agent, line: string): Promise<string> {
    const name = `c.${String((this.#files += 1))}`
    await writeNewFile(agent, `${this.#folder}/${name}`, Buffer.from(line))
    return `. ./${name}; rm -f ${name}\n`
  }
}
