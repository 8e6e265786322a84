import { randomUUID } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { posix } from 'node:path'
import * as v from 'valibot'
import type { Task } from '../../../driver.js'
import { HostError, InsufficientResourcesError, InvalidArgumentError } from '../../../errors.js'
import { nativeErrorOf } from '../../../errors/native.js'
import { requireFile } from '../../../files/require-file.js'
import { writeWholeFile } from '../../../files/whole-file.js'
import type { RunningVm } from '../running-vm.js'
import type { AgentChannel } from './agent-channel.js'
import type { AgentConnection } from './agent-connection.js'
import { AgentCommandError, guestWords } from './agent-errors.js'
import { runScript } from './agent-program.js'

/** 60 ms to send without hardware virtualization, since the agent reads 4 KiB at once. */
const chunkBytes = 256 * 1024
/** After how long a copy gives way to others who want the agent. */
const sliceMs = 250

const handleSchema = v.pipe(v.number(), v.safeInteger())
const writtenSchema = v.object({ count: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) })
const readSchema = v.object({ 'buf-b64': v.string(), eof: v.boolean() })
const soughtSchema = v.object({ position: v.pipe(v.number(), v.safeInteger(), v.minValue(0)) })

/** The agent itself would make files that everybody may write. */
const prepareScript = `if [ -d "$1" ]; then echo "$1 is a folder" >&2; exit 1; fi
umask 077; set -C; : >"$2"`
const finishScript = `chmod "$3" "$2" && mv -f "$2" "$1"`
/** The agent itself would wait without end where the path is of a pipe. */
const checkScript = `if [ ! -e "$1" ]; then echo "$1 is not there" >&2; exit 1; fi
if [ ! -f "$1" ]; then echo "$1 is no file" >&2; exit 1; fi
[ -r "$1" ] || { echo "$1 can't be read" >&2; exit 1; }`

/** One copy into a guest or out of it. */
export class GuestCopy {
  readonly #channel: AgentChannel
  readonly #vm: RunningVm
  readonly #task: Task
  readonly #signal: AbortSignal

  /** @param signal aborted when the copy is to stop */
  constructor(channel: AgentChannel, vm: RunningVm, task: Task, signal: AbortSignal) {
    this.#channel = channel
    this.#vm = vm
    this.#task = task
    this.#signal = signal
  }

  /** Sends a file under another name, which it changes for its own once it is whole. It keeps its permissions. */
  async in(from: string, to: string): Promise<void> {
    await requireFile(from)
    const file = await open(from, 'r')
    try {
      const { size, mode } = await file.stat()
      const draft = posix.join(posix.dirname(to), `.awaitvm-${randomUUID()}`)
      await this.#script('to', prepareScript, guestPath(to), guestPath(draft))
      try {
        await this.#send(file, size, draft)
        this.#signal.throwIfAborted()
        await this.#script('to', finishScript, guestPath(to), guestPath(draft), (mode & 0o777).toString(8))
      } catch (error) {
        await this.#remove(draft)
        throw error
      }
    } finally {
      await file.close()
    }
  }

  /** Fetches a file, which only its owner may read here. */
  async out(from: string, to: string): Promise<void> {
    await writeWholeFile(to, 'qmp', async (output) => {
      await this.#script('from', checkScript, guestPath(from))
      await this.#withFile('from', from, 'rb', async (handle) => {
        const total = await this.#turn((agent) => sizeOf(agent, handle))
        let done = 0
        for (let isLast = false; !isLast;) {
          const chunks = await this.#turn((agent) => this.#receive(agent, handle))
          for (const chunk of chunks.content) {
            await output.writeFile(chunk)
            done += chunk.byteLength
          }
          this.#task.progress({ phase: 'copying', done, total: Math.max(total, done), unit: 'bytes' })
          isLast = chunks.isLast
        }
      })
    })
  }

  async #send(file: FileHandle, size: number, draft: string): Promise<void> {
    await this.#withFile('to', draft, 'rb+', async (handle) => {
      let done = 0
      for (let isLast = false; !isLast;) {
        isLast = await this.#turn(async (agent) => {
          for (const began = performance.now(); performance.now() < began + sliceMs;) {
            this.#signal.throwIfAborted()
            const { bytesRead, buffer } = await file.read(Buffer.alloc(chunkBytes), 0, chunkBytes, done)
            if (bytesRead === 0) return true
            done += await write(agent, handle, buffer.subarray(0, bytesRead))
          }
          return false
        })
        this.#task.progress({ phase: 'copying', done, total: Math.max(size, done), unit: 'bytes' })
      }
    })
  }

  async #receive(agent: AgentConnection, handle: number): Promise<{ content: Buffer[]; isLast: boolean }> {
    const content: Buffer[] = []
    for (const began = performance.now(); performance.now() < began + sliceMs;) {
      this.#signal.throwIfAborted()
      const answer = await agent.execute('guest-file-read', { handle, count: chunkBytes })
      const { 'buf-b64': bytes, eof } = v.parse(readSchema, answer)
      content.push(Buffer.from(bytes, 'base64'))
      if (eof) return { content, isLast: true }
    }
    return { content, isLast: false }
  }

  /** Uses a file of the guest's, and closes it. */
  async #withFile(
    parameter: string,
    path: string,
    mode: string,
    action: (handle: number) => Promise<void>,
  ): Promise<void> {
    const handle = await this.#turn((agent) => openFile(agent, path, mode)).catch((error: unknown) => {
      throw error instanceof AgentCommandError ? wrongPath(parameter, error.message, error) : error
    })
    const close = (): Promise<unknown> => this.#turn((agent) => agent.execute('guest-file-close', { handle }))
    try {
      await action(handle)
    } catch (error) {
      await close().catch((failure: unknown) => {
        this.#warn(`the file ${path} stays open in the guest`, failure)
      })
      throw fileError(error)
    }
    await close().catch((error: unknown) => {
      throw fileError(error)
    })
  }

  async #script(parameter: string, script: string, ...words: readonly string[]): Promise<void> {
    this.#signal.throwIfAborted()
    const { exitCode, stderr } = await this.#turn((agent) => runScript(agent, script, ...words))
    if (exitCode !== 0) throw wrongPath(parameter, guestWords(Buffer.from(stderr).toString()))
  }

  async #remove(draft: string): Promise<void> {
    try {
      await this.#turn((agent) => runScript(agent, 'rm -f "$1"', guestPath(draft)))
    } catch (failure) {
      this.#warn(`the unfinished file ${draft} is left in the guest`, failure)
    }
  }

  #turn<T>(action: (agent: AgentConnection) => Promise<T>): Promise<T> {
    return this.#channel.turn(this.#vm, action)
  }

  #warn(what: string, failure: unknown): void {
    process.emitWarning(`VM ${this.#vm.definition.id}: ${what}: ${String(failure)}`, 'AwaitvmWarning')
  }
}

/** No program takes it for an option. */
const guestPath = (path: string): string => (path.startsWith('-') ? `./${path}` : path)

async function openFile(agent: AgentConnection, path: string, mode: string): Promise<number> {
  return v.parse(handleSchema, await agent.execute('guest-file-open', { path, mode }))
}

/** 0 where the file does not tell, as those of /proc. */
async function sizeOf(agent: AgentConnection, handle: number): Promise<number> {
  const { position } = v.parse(
    soughtSchema,
    await agent.execute('guest-file-seek', { handle, offset: 0, whence: 'end' }),
  )
  await agent.execute('guest-file-seek', { handle, offset: 0, whence: 'set' })
  return position
}

async function write(agent: AgentConnection, handle: number, bytes: Buffer): Promise<number> {
  const answer = await agent.execute('guest-file-write', { handle, 'buf-b64': bytes.toString('base64') })
  const { count } = v.parse(writtenSchema, answer)
  if (count === bytes.byteLength) return count
  const message = `guest-file-write: ${String(count)} of ${String(bytes.byteLength)} bytes`
  throw new HostError({
    reason: 'the agent in the guest has not written all that it was sent',
    native: { driver: 'qmp', message },
  })
}

const wrongPath = (path: string, said: string, cause?: unknown): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `the guest says: ${said}`,
    native: { driver: 'qmp', message: said },
    cause,
  })

function fileError(error: unknown): unknown {
  if (!(error instanceof AgentCommandError) || !/No space left|Disk quota/.test(error.message)) return error
  const native = nativeErrorOf('qmp', error)
  return new InsufficientResourcesError({
    reason: `the guest says: ${native.message}`,
    hint: 'Make room on the disk of the guest, and try again.',
    native,
    cause: error,
  })
}
