import { randomUUID } from 'node:crypto'
import type { FileHandle } from 'node:fs/promises'
import * as v from 'valibot'
import type { Task } from '../driver/task.js'
import { HostError, InsufficientResourcesError, InvalidArgumentError } from '../errors.js'
import { nativeErrorOf } from '../errors/native.js'
import { CopyLimit } from '../files/copy-limit.js'
import { checkScript, draftPath, finishScript, prepareScript, removeScript } from '../files/guest-copy-scripts.js'
import { openSource } from '../files/open-source.js'
import { writeWholeFile } from '../files/whole-file.js'
import type { Agent, GuestAgent } from './agent.js'
import { AgentCommandError, guestWords } from './agent-errors.js'
import { runScript } from './agent-program.js'

/** The size of a command: it takes 60 ms without hardware virtualization, since the agent reads 4 KiB at a time. */
const chunkBytes = 256 * 1024
/** The length of a copy's turn at the agent. */
const sliceMs = 250

const handleSchema = v.pipe(v.number(), v.safeInteger())
const writtenSchema = v.object({ count: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) })
const readSchema = v.object({ 'buf-b64': v.string(), eof: v.boolean() })
const soughtSchema = v.object({ position: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) })

/** One copy into a guest or out of it. */
export class GuestCopy {
  readonly #guest: GuestAgent
  readonly #task: Task
  readonly #signal: AbortSignal

  /** @param signal aborted when the copy is to stop */
  constructor(guest: GuestAgent, task: Task, signal: AbortSignal) {
    this.#guest = guest
    this.#task = task
    this.#signal = signal
  }

  /** Sends a file under a temporary name, and renames it when it is complete. */
  async in(from: string, to: string): Promise<void> {
    const { file, size, mode } = await openSource(from)
    try {
      const number = randomUUID()
      const target = await this.#script('to', prepareScript, to, number)
      try {
        await this.#send(file, new CopyLimit(size), draftPath(target, number))
        this.#signal.throwIfAborted()
        await this.#script('to', finishScript, to, number, mode.toString(8))
      } catch (error) {
        await this.#remove(to, number)
        throw error
      }
    } finally {
      await file.close()
    }
  }

  /** Fetches a file. */
  async out(from: string, to: string): Promise<void> {
    await writeWholeFile(to, this.#guest.driver, async ({ file, requireRoom }) => {
      await this.#script('from', checkScript, from)
      await this.#withFile('from', from, 'rb', async (handle) => {
        const size = await this.#guest.turn((agent) => sizeOf(agent, handle))
        await requireRoom(size)
        const limit = new CopyLimit(size)
        for (let isLast = limit.left === 0; !isLast;) {
          const chunks = await this.#guest.turn((agent) => this.#receive(agent, handle, limit))
          for (const chunk of chunks.content) await file.writeFile(chunk)
          this.#report(limit)
          isLast = chunks.isLast
        }
      })
    })
  }

  async #send(file: FileHandle, limit: CopyLimit, draft: string): Promise<void> {
    await this.#withFile('to', draft, 'rb+', async (handle) => {
      for (let isLast = false; !isLast;) {
        isLast = await this.#guest.turn(async (agent) => {
          for (const began = performance.now(); performance.now() < began + sliceMs;) {
            this.#signal.throwIfAborted()
            const length = Math.min(chunkBytes, limit.left)
            const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, limit.done)
            if (bytesRead === 0) return true
            limit.add(bytesRead)
            await this.#write(agent, handle, buffer.subarray(0, bytesRead))
          }
          return false
        })
        this.#report(limit)
      }
    })
  }

  async #receive(agent: Agent, handle: number, limit: CopyLimit): Promise<{ content: Buffer[]; isLast: boolean }> {
    const content: Buffer[] = []
    for (const began = performance.now(); performance.now() < began + sliceMs;) {
      this.#signal.throwIfAborted()
      const answer = await agent.execute('guest-file-read', { handle, count: Math.min(chunkBytes, limit.left) })
      const { 'buf-b64': bytes, eof } = v.parse(readSchema, answer)
      const chunk = Buffer.from(bytes, 'base64')
      limit.add(chunk.byteLength)
      content.push(chunk)
      if (eof || limit.left === 0) return { content, isLast: true }
    }
    return { content, isLast: false }
  }

  #report({ done, total }: CopyLimit): void {
    this.#task.progress({ phase: 'copying', done, total, unit: 'bytes' })
  }

  /** Opens a file in the guest, uses it, and closes it. */
  async #withFile(
    parameter: string,
    path: string,
    mode: string,
    action: (handle: number) => Promise<void>,
  ): Promise<void> {
    const handle = await this.#guest
      .turn((agent) => openFile(agent, path, mode))
      .catch((error: unknown) => {
        throw error instanceof AgentCommandError ? this.#wrongPath(parameter, error.message, error) : error
      })
    const close = (): Promise<unknown> => this.#guest.turn((agent) => agent.execute('guest-file-close', { handle }))
    try {
      await action(handle)
    } catch (error) {
      await close().catch((failure: unknown) => {
        this.#warn(`the file ${path} stays open in the guest`, failure)
      })
      throw this.#fileError(error)
    }
    await close().catch((error: unknown) => {
      throw this.#fileError(error)
    })
  }

  /** Runs a script. Returns its output. */
  async #script(parameter: string, script: string, ...words: readonly string[]): Promise<string> {
    this.#signal.throwIfAborted()
    const { exitCode, stdout, stderr } = await this.#guest.turn((agent) => runScript(agent, script, ...words))
    if (exitCode !== 0) throw this.#wrongPath(parameter, guestWords(Buffer.from(stderr).toString()))
    return Buffer.from(stdout).toString()
  }

  async #remove(path: string, number: string): Promise<void> {
    try {
      await this.#guest.turn((agent) => runScript(agent, removeScript, path, number))
    } catch (failure) {
      this.#warn(`the unfinished file .awaitvm-${number} is left in the guest`, failure)
    }
  }

  #warn(what: string, failure: unknown): void {
    process.emitWarning(`VM ${this.#guest.vm}: ${what}: ${String(failure)}`, 'AwaitvmWarning')
  }

  async #write(agent: Agent, handle: number, bytes: Buffer): Promise<void> {
    const answer = await agent.execute('guest-file-write', { handle, 'buf-b64': bytes.toString('base64') })
    const { count } = v.parse(writtenSchema, answer)
    if (count === bytes.byteLength) return
    const message = `guest-file-write: ${String(count)} of ${String(bytes.byteLength)} bytes`
    throw new HostError({
      reason: 'the agent in the guest has not written all that it was sent',
      native: { driver: this.#guest.driver, message },
    })
  }

  #wrongPath(path: string, said: string, cause?: unknown): InvalidArgumentError {
    const native = { driver: this.#guest.driver, message: said }
    return new InvalidArgumentError({ path, reason: `the guest says: ${said}`, native, cause })
  }

  #fileError(error: unknown): unknown {
    if (!(error instanceof AgentCommandError) || !/No space left|Disk quota/.test(error.message)) return error
    const native = nativeErrorOf(this.#guest.driver, error)
    return new InsufficientResourcesError({
      reason: `the guest says: ${native.message}`,
      hint: 'Make room on the disk of the guest, and try again.',
      native,
      cause: error,
    })
  }
}

async function openFile(agent: Agent, path: string, mode: string): Promise<number> {
  return v.parse(handleSchema, await agent.execute('guest-file-open', { path, mode }))
}

/** The size; 0 for files that do not tell it, such as those of /proc. */
async function sizeOf(agent: Agent, handle: number): Promise<number> {
  const { position } = v.parse(
    soughtSchema,
    await agent.execute('guest-file-seek', { handle, offset: 0, whence: 'end' }),
  )
  await agent.execute('guest-file-seek', { handle, offset: 0, whence: 'set' })
  return position
}
