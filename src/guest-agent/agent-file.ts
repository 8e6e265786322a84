import * as v from 'valibot'
import type { Agent, GuestAgent } from './agent.js'
import { ask, wrongAnswer } from './agent-answer.js'
import { AgentCommandError } from './agent-errors.js'

const countSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const handleSchema = v.pipe(v.number(), v.safeInteger())
const readSchema = v.object({ count: countSchema, 'buf-b64': v.string() })
const writtenSchema = v.object({ count: countSchema })

/** Larger pieces are not faster: the agent itself reads commands by 4 KiB. */
export const pieceBytes = 256 * 1024

/** An open file in the guest, by the agent's number of it. */
export async function openFile(agent: Agent, path: string, mode: 'r' | 'r+' | 'w'): Promise<number> {
  return await ask(agent, handleSchema, 'guest-file-open', { path, mode })
}

/** A regular file in the guest that is read while others write to it. */
export class TailedFile {
  readonly #guest: Pick<GuestAgent, 'turn'>
  readonly #handle: number
  #offset = 0
  /** Whether the agent may be at another offset: it may have read on without its answer coming here. */
  #isLost = false

  private constructor(guest: Pick<GuestAgent, 'turn'>, handle: number) {
    this.#guest = guest
    this.#handle = handle
  }

  static async open(guest: Pick<GuestAgent, 'turn'>, path: string): Promise<TailedFile> {
    return new TailedFile(guest, await guest.turn((agent) => openFile(agent, path, 'r')))
  }

  /** What follows; empty at the present end. */
  async read(): Promise<Buffer> {
    return await this.#guest.turn(async (agent) => {
      const handle = this.#handle
      if (this.#isLost) await agent.execute('guest-file-seek', { handle, offset: this.#offset, whence: 'set' })
      this.#isLost = true
      const command = 'guest-file-read'
      const { count, 'buf-b64': content } = await ask(agent, readSchema, command, { handle, count: pieceBytes })
      const bytes = Buffer.from(content, 'base64')
      if (bytes.byteLength !== count || count > pieceBytes)
        throw wrongAnswer(
          command,
          `${String(bytes.byteLength)} bytes, ${String(count)} told of, at most ${String(pieceBytes)} wanted`,
        )
      this.#offset += bytes.byteLength
      this.#isLost = false
      return bytes
    })
  }

  async close(): Promise<void> {
    let mayBeClosed = false
    await this.#guest.turn(async (agent) => {
      const isRepeated = mayBeClosed
      mayBeClosed = true
      await closeFile(agent, this.#handle).catch((error: unknown) => {
        // The agent knows no such file if it has closed it, and its answer did not come here.
        if (!isRepeated || !(error instanceof AgentCommandError)) throw error
      })
    })
  }
}

/** Writes to an open file or pipe, so that others can read it. */
export async function writeFile(agent: Agent, handle: number, bytes: Uint8Array): Promise<void> {
  const content = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
  const [{ count }] = await Promise.all([
    ask(agent, writtenSchema, 'guest-file-write', { handle, 'buf-b64': content }),
    agent.execute('guest-file-flush', { handle }),
  ])
  if (count !== bytes.byteLength)
    throw new Error(`guest-file-write: ${String(count)} of ${String(bytes.byteLength)} bytes`)
}

export async function closeFile(agent: Agent, handle: number): Promise<void> {
  await agent.execute('guest-file-close', { handle })
}

/** Writes a whole file. */
export async function writeNewFile(agent: Agent, path: string, bytes: Uint8Array): Promise<void> {
  const handle = await openFile(agent, path, 'w')
  await writeFile(agent, handle, bytes)
  await closeFile(agent, handle)
}
