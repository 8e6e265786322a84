import { createHash, type Hash } from 'node:crypto'
import { constants } from 'node:fs'
import { rm, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import * as v from 'valibot'
import { ConnectionError, InvalidArgumentError } from '../../errors.js'
import type { ProgressUpdate } from '../../model/host-job.js'
import { openOwn } from '../../registry/own-file.js'
import { replaceSmallFile } from '../../registry/replace-file.js'
import { readRecord } from './cache-record.js'
import type { Checksum } from './checksum.js'
import { requireRoomFor, RoomGuard } from './free-room.js'
import { askFor, failed, shownUrl, stopped, type HttpReply, type RequestOptions } from './http-reply.js'
import { writeAll } from '../../files/write-all.js'

export interface DownloadOptions extends RequestOptions {
  readonly onProgress: (update: ProgressUpdate) => void
  /** How long to wait before each attempt that follows one that brought nothing. For tests. */
  readonly retryDelaysMs?: readonly number[] | undefined
}

const retryDelays: readonly number[] = [1000, 2000, 4000, 8000]
const progressBytes = 2 ** 20

const partSchema = v.object({
  /** Identifies the URL, which may have a secret in it. */
  source: v.string(),
  /** Says on the server that the file is still the same. */
  validator: v.string(),
  total: v.optional(v.number()),
})
type Part = v.InferOutput<typeof partSchema>

/** The files of an image that is not complete. */
export const partFiles = { content: 'part', record: 'part.json', unpacked: 'unpacked' } as const

/**
 * Fetches a file into the folder, as its `part`, and checks its content. A connection that breaks is resumed, and so is what an
 * earlier process has left, if the server says that the file is still the same. What was fetched stays for that, unless the whole of
 * it is wrong.
 */
export async function download(
  url: URL,
  checksum: Checksum,
  folder: string,
  options: DownloadOptions,
): Promise<{ readonly file: string; readonly bytes: number }> {
  const file = join(folder, partFiles.content)
  const { O_CREAT, O_RDWR } = constants
  await using part = await openOwn(file, { flags: O_RDWR | O_CREAT })
  const transfer = new Transfer(url, checksum, folder, part, options)
  await transfer.takeUp()
  for (let isSecond = false; ; isSecond = true) {
    const { isResumed } = await transfer.complete()
    if (transfer.isRight()) break
    await transfer.startAgain()
    // What it was resumed upon may have been of another file.
    if (isResumed && !isSecond) continue
    await rm(file)
    throw new InvalidArgumentError({
      path: options.path,
      reason: `${options.path} can't be used: ${shownUrl(url)} does not have the ${checksum.algorithm} ${checksum.digest}`,
      hint: 'Look up the checksum again: the vendor may have replaced the file. If it is right, somebody may have changed what was sent.',
    })
  }
  await part.sync()
  return { file, bytes: transfer.done }
}

/** One file on its way. */
class Transfer {
  readonly #url: URL
  readonly #checksum: Checksum
  readonly #folder: string
  readonly #file: FileHandle
  readonly #options: DownloadOptions
  readonly #source: string
  #hash: Hash
  /** What is needed to go on later; `undefined` if the server gives no means to. */
  #part: Part | undefined
  /** The length of the file, if the server tells. */
  #total: number | undefined
  #isResumed = false
  #hasAnswered = false
  /** Why the last attempt failed; `undefined` once the server sends again. */
  #failure: ConnectionError | undefined
  done = 0

  constructor(url: URL, checksum: Checksum, folder: string, file: FileHandle, options: DownloadOptions) {
    this.#url = url
    this.#checksum = checksum
    this.#folder = folder
    this.#file = file
    const onAnswer = (): void => {
      this.#hasAnswered = true
    }
    this.#options = { ...options, onAnswer }
    this.#source = createHash('sha256').update(url.href).digest('hex')
    this.#hash = createHash(checksum.algorithm)
  }

  isRight(): boolean {
    return this.#hash.copy().digest('hex') === this.#checksum.digest
  }

  /** Goes on from what an earlier process left. */
  async takeUp(): Promise<void> {
    const left = readRecord(join(this.#folder, partFiles.record), partSchema)
    if (left?.source !== this.#source) return this.startAgain()
    this.#part = left
    this.#total = left.total
    for await (const chunk of this.#file.createReadStream({
      start: 0,
      autoClose: false,
      signal: this.#options.signal,
    })) {
      if (!Buffer.isBuffer(chunk)) continue
      this.#hash.update(chunk)
      this.done += chunk.length
    }
    this.#isResumed = this.done > 0
  }

  async startAgain(): Promise<void> {
    await this.#file.truncate(0)
    this.#hash = createHash(this.#checksum.algorithm)
    this.#part = undefined
    this.#total = undefined
    this.#isResumed = false
    this.done = 0
  }

  /** Fetches the rest, in as many attempts as bring something. A server that has never answered is not asked again. */
  async complete(): Promise<{ readonly isResumed: boolean }> {
    const { retryDelaysMs = retryDelays, signal } = this.#options
    let farthest = this.done
    let vain = 0
    while (this.done === 0 || this.done !== this.#total) {
      try {
        await this.#attempt()
        break
      } catch (error) {
        if (signal.aborted) throw this.#failure === undefined ? error : stopped(signal.reason, this.#failure)
        if (!(error instanceof ConnectionError) || !this.#hasAnswered) throw error
        this.#failure = error
        vain = this.done > farthest ? 0 : vain + 1
        farthest = Math.max(farthest, this.done)
        const pauseMs = retryDelaysMs[vain === 0 ? 0 : vain - 1]
        if (pauseMs === undefined) throw error
        await delay(pauseMs, undefined, { signal }).catch(() => {
          throw stopped(signal.reason, error)
        })
      }
      this.#isResumed ||= this.done > 0
    }
    return { isResumed: this.#isResumed }
  }

  async #attempt(): Promise<void> {
    const reply = await this.#ask()
    this.#failure = undefined
    try {
      const total = this.#total
      if (total !== undefined) await requireRoomFor(total - this.done, this.#folder)
      await this.#write(reply)
      if (total !== undefined && this.done !== total) throw failed(this.#url, 'broke off')
    } finally {
      reply.close()
    }
  }

  /** Asks for the rest, or for the whole if there is nothing yet or the server has another file now. */
  async #ask(): Promise<HttpReply> {
    if (this.done > 0 && this.#part !== undefined) {
      const headers = { range: `bytes=${String(this.done)}-`, 'if-range': this.#part.validator }
      const reply = await askFor(this.#url, { ...this.#options, headers })
      if (reply.status === 206 && isRest(reply.header('content-range'), this.done, this.#total)) return reply
      await this.startAgain()
      if (reply.status === 200) return this.#begun(reply)
      reply.close()
    } else await this.startAgain()
    const reply = await askFor(this.#url, this.#options)
    if (reply.status === 200) return this.#begun(reply)
    reply.close()
    throw failed(this.#url, `answers with the status ${String(reply.status)} though the whole file was asked for`)
  }

  /** Notes what is needed to go on later, before the first byte. */
  #begun(reply: HttpReply): HttpReply {
    const length = Number(reply.header('content-length') ?? NaN)
    const etag = reply.header('etag')
    // A weak one stands for files that differ.
    const validator = etag?.startsWith('W/') === false ? etag : reply.header('last-modified')
    this.#total = Number.isSafeInteger(length) ? length : undefined
    this.#part = validator === undefined ? undefined : { source: this.#source, validator, total: this.#total }
    replaceSmallFile(join(this.#folder, partFiles.record), JSON.stringify(this.#part ?? {}))
    return reply
  }

  async #write(reply: HttpReply): Promise<void> {
    const { onProgress } = this.#options
    const total = this.#total
    const guard = new RoomGuard(this.#folder)
    let reported = -progressBytes
    for await (const chunk of reply.content()) {
      await guard.add(chunk.length)
      await writeAll(this.#file, chunk, this.done)
      this.#hash.update(chunk)
      this.done += chunk.length
      if (this.done - reported < progressBytes && this.done !== total) continue
      reported = this.done
      onProgress({ phase: 'fetching image', done: this.done, total, unit: 'bytes' })
    }
  }
}

/** True if a part of a file begins behind what is there, and the file is as long as it was. */
function isRest(contentRange: string | undefined, done: number, total: number | undefined): boolean {
  const [, start, whole] = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(contentRange ?? '') ?? []
  return Number(start) === done && (whole === '*' || total === undefined || Number(whole) === total)
}
