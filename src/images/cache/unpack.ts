import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { open, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { pipeline, type Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import { HostToolNotFoundError, InvalidArgumentError } from '../../errors.js'
import { errorCode } from '../../errors/native.js'
import type { Packing } from '../packing.js'
import type { DownloadOptions } from './download.js'
import { RoomGuard } from './free-room.js'
import { writeAll } from '../../files/write-all.js'

/** 2 TiB: longer than any image that is shipped compressed. */
const maxBytes = 2 ** 41
const chunkBytes = 64 * 1024
const zeros = Buffer.alloc(chunkBytes)
const progressBytes = 4 * 2 ** 20

/** The programs for what Node 20 can't unpack by itself. A header may ask for memory of any size. */
const programs = {
  xz: {
    args: ['--decompress', '--stdout', '--quiet', '--memlimit-decompress=512MiB'],
    packages: 'xz-utils on Debian and Ubuntu, xz elsewhere',
  },
  zstd: { args: ['--decompress', '--stdout', '--quiet', '--memory=512MiB'], packages: 'zstd' },
} as const

export interface UnpackOptions extends Pick<DownloadOptions, 'path' | 'signal' | 'onProgress'> {
  readonly from: string
  readonly packing: Packing
  /** The file to make. */
  readonly to: string
}

/**
 * Unpacks an image into a new file, with holes for what is zero. Throws an `InvalidArgumentError` if the compressed file is damaged or
 * incomplete. What of it was made is then removed.
 */
export async function unpack(options: UnpackOptions): Promise<{ readonly file: string; readonly bytes: number }> {
  const { from, to, packing, signal } = options
  await rm(to, { force: true })
  try {
    const source = createReadStream(from, { signal })
    const content = packing === 'gzip' ? gunzipped(source) : unpackedBy(packing, source, options)
    return { file: to, bytes: await write(content, source, options) }
  } catch (error) {
    await rm(to, { force: true })
    throw errorCode(error)?.startsWith('Z_') === true ? damaged(options, String(error)) : error
  }
}

function gunzipped(source: Readable): AsyncIterable<unknown> {
  // Its error is that of the content, too, where it is thrown.
  return pipeline(source, createGunzip({ chunkSize: chunkBytes }), () => undefined)
}

async function* unpackedBy(
  name: keyof typeof programs,
  source: Readable,
  options: UnpackOptions,
): AsyncGenerator<unknown, void> {
  const { args, packages } = programs[name]
  const child = spawn(name, args, { stdio: ['pipe', 'pipe', 'pipe'] })
  try {
    await once(child, 'spawn').catch((cause: unknown) => {
      throw new HostToolNotFoundError({
        reason: `${options.path} is compressed by ${name}, and the program ${name} can't be started`,
        hint: `Install the package that has it: ${packages}.`,
        cause,
      })
    })
    const closed = once(child, 'close')
    let errors = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (errors.length < 1000) errors += text
    })
    let failure: unknown
    pipeline(source, child.stdin, (error) => {
      failure = error
    })
    yield* child.stdout
    const [code] = (await closed) as unknown[]
    options.signal.throwIfAborted()
    if (code !== 0) throw damaged(options, errors.trim())
    if (failure instanceof Error) throw failure
  } finally {
    child.kill('SIGKILL')
  }
}

async function write(
  content: AsyncIterable<unknown>,
  source: { readonly bytesRead: number },
  { from, to, path, signal, onProgress }: UnpackOptions,
): Promise<number> {
  const { size: total } = await stat(from)
  const guard = new RoomGuard(dirname(to))
  await using file = await open(to, 'wx', 0o600)
  let bytes = 0
  let reported = -progressBytes
  for await (const chunk of content) {
    signal.throwIfAborted()
    if (!Buffer.isBuffer(chunk)) continue
    if (!zeros.subarray(0, chunk.length).equals(chunk)) {
      await guard.add(chunk.length)
      await writeAll(file, chunk, bytes)
    }
    bytes += chunk.length
    if (bytes > maxBytes) {
      throw new InvalidArgumentError({ path, reason: `${path} is compressed, and has more than 2 TiB when it is not` })
    }
    if (bytes - reported < progressBytes) continue
    reported = bytes
    onProgress({ phase: 'unpacking image', done: source.bytesRead, total, unit: 'bytes' })
  }
  await file.truncate(bytes)
  return bytes
}

const damaged = ({ path, packing }: UnpackOptions, words: string): InvalidArgumentError =>
  new InvalidArgumentError({
    path,
    reason: `${path} is compressed by ${packing}, and can't be unpacked: ${words}`,
    hint: 'The file is damaged or incomplete: fetch or make it again.',
    native: { driver: packing, message: words },
  })
