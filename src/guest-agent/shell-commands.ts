import { inBackground } from '../background.js'
import type { GuestAgent } from './agent.js'
import { closeFile, openFile, writeFile, writeNewFile } from './agent-file.js'

/** What is sent at once, and how often that before the shell has taken it: less than a pipe holds, 64 KiB. */
const maxSentBytes = 8 * 1024
const maxUntaken = 4

/** Who waits for the shell to take what it was sent. */
export interface ShellListener {
  /** Resolves when something may have been taken. */
  tick(): Promise<void>
  /** Called if sending fails for good. */
  onError(error: unknown): Promise<void>
  /** Whether nothing is to be sent any more. */
  isOver(): boolean
}

/** Lines that are sent at once, and those of them that are too long, each in a file of its own. */
interface Chunk {
  readonly text: string
  readonly files: ReadonlyMap<string, string>
}

/**
 * The pipe by which the shell in a guest gets its commands, in their order. They go in chunks, of which the agent takes all or nothing.
 * If its answer is lost, the chunk is sent again: the shell executes each number once.
 */
export class ShellCommands {
  readonly #guest: GuestAgent
  readonly #patient: Pick<GuestAgent, 'turn'>
  readonly #folder: string
  /** The agent's number of the pipe. */
  readonly #handle: number
  readonly #listener: ShellListener
  readonly #lines: string[] = []
  /** The chunk that is being sent. */
  #chunk: Chunk | undefined
  #chunks = 0
  #files = 0
  #untaken = 0
  #isSending = false

  private constructor(
    guest: GuestAgent,
    patient: Pick<GuestAgent, 'turn'>,
    folder: string,
    handle: number,
    listener: ShellListener,
  ) {
    this.#guest = guest
    this.#patient = patient
    this.#folder = folder
    this.#handle = handle
    this.#listener = listener
  }

  /** @param patient the same agent, whose turns are repeated until it can be asked */
  static async open(
    guest: GuestAgent,
    patient: Pick<GuestAgent, 'turn'>,
    folder: string,
    listener: ShellListener,
  ): Promise<ShellCommands> {
    const handle = await guest.turn((agent) => openFile(agent, `${folder}/c`, 'r+'))
    return new ShellCommands(guest, patient, folder, handle, listener)
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
    const text = `${this.#chunk?.text ?? ''}${this.#lines.splice(0).join('')}${line}\n`
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
        else await this.#sendChunk()
      }
    } finally {
      this.#isSending = false
    }
  }

  async #sendChunk(): Promise<void> {
    const { text, files } = (this.#chunk = this.#nextChunk())
    this.#untaken += 1
    try {
      // Complete before the shell gets to know of them.
      for (const [name, line] of files)
        await this.#patient.turn((agent) => writeNewFile(agent, `${this.#folder}/${name}`, Buffer.from(line)))
      await this.#patient.turn((agent) => writeFile(agent, this.#handle, Buffer.from(text)))
    } catch (error) {
      await this.#listener.onError(error)
    } finally {
      this.#chunk = undefined
    }
  }

  #nextChunk(): Chunk {
    const files = new Map<string, string>()
    let commands = ''
    for (let line = this.#lines[0]; line !== undefined; line = this.#lines[0]) {
      if (commands !== '' && commands.length + line.length > maxSentBytes) break
      this.#lines.shift()
      commands += line.length > maxSentBytes ? this.#inFile(files, line) : line
    }
    this.#chunks += 1
    const number = String(this.#chunks)
    const text = `if [ "$awaitvm_chunk" != ${number} ]; then awaitvm_chunk=${number}\n${commands}taken\nfi\n`
    return { text, files }
  }

  /** Puts a long line into a file. Returns the line that executes it. */
  #inFile(files: Map<string, string>, line: string): string {
    const name = `c.${String((this.#files += 1))}`
    files.set(name, line)
    return `. ./${name}; rm -f ${name}\n`
  }
}
